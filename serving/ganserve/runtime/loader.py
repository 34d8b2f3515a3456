"""From a bundle's folder to a model that is proven to make the images its exporter recorded."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import onnxruntime

from ganserve.contract import images
from ganserve.contract.bundle import (
    IMAGES_OUTPUT,
    MODEL_FILE,
    SAMPLES_FILE,
    check_signature,
    golden_rows,
    misplacement,
    read_verified,
    sha256,
)
from ganserve.contract.card import image_shape
from ganserve.contract.errors import ArtifactError, ConfigError
from ganserve.contract.images import Images
from ganserve.contract.manifest import digest_of, read_manifest
from ganserve.contract.rows import Rows
from ganserve.contract.text import one_line
from ganserve.v1.bundle_pb2 import GoldenSamples, Licences
from ganserve.v1.model_pb2 import (
    BucketCost,
    ModelCard,
    ModelIdentity,
    ModelState,
    Provenance,
    Reproducibility,
    Runtime,
    ServedModel,
)

from .device import Device
from .engine import Engine
from .file_check import CheckedFile, checked_aside
from .heap import trim_heap
from .lanes import Lanes
from .onnx_file import read_card


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A verified model, ready to run."""

    identity: ModelIdentity
    card: ModelCard
    licences: Licences
    engine: Engine
    reproducibility: Reproducibility.ValueType
    load_s: float

    @cached_property
    def provenance(self) -> Provenance:
        """What makes its samples, as told with each reply."""
        return Provenance(
            device=self.engine.lanes.device,
            onnxruntime_version=onnxruntime.__version__,
            reproducibility=self.reproducibility,
        )

    def describe(self, state: ModelState.ValueType) -> ServedModel:
        """What clients are told of it, but for a server's limits."""
        return ServedModel(
            identity=self.identity,
            card=self.card,
            state=state,
            runtime=self.runtime(),
            reproducibility=self.reproducibility,
            licences=self.licences,
        )

    def runtime(self) -> Runtime:
        """What it runs on, as told to clients."""
        return Runtime(
            device=self.engine.lanes.device,
            onnxruntime_version=onnxruntime.__version__,
            lanes=self.engine.lanes.num_lanes,
            buckets=[BucketCost(rows=rows, run_ms=cost_s * 1e3) for rows, cost_s in self.engine.costs_s.items()],
        )


def load_model(folder: Path, *, lanes: Lanes, max_batch: int, beside_serving: bool = False) -> LoadedModel:
    """Reads, verifies, loads and warms up the bundle in `folder`, which is `…/<name>/<version>`.

    Blocks; call it from any thread but a lane.

    Args:
        folder: of the bundle.
        lanes: of the device.
        max_batch: most rows of one run.
        beside_serving: whether callers of other models must not notice, for which it takes longer.

    Raises:
        ArtifactError: a file is missing, torn, altered or not regular; the model is not one that is run here; or it
            does not make its golden samples.
        ConfigError: the device cannot be used, or the model not be run on it other than on a CPU.
    """
    start_s = time.monotonic()
    manifest = read_manifest(folder)
    if fault := misplacement(manifest, folder):
        raise ArtifactError(fault)
    model = read_verified(folder, MODEL_FILE, manifest)
    samples = read_verified(folder, SAMPLES_FILE, manifest)
    with _checked(model, folder, beside_serving=beside_serving) as (card, opened):
        check_signature(manifest, card, folder)
        golden_images = images.decode(samples, card.image.channels)
        with _run_errors(folder, lanes.device):
            engine = Engine(opened, manifest.signature, lanes=lanes, max_batch=max_batch)
            run = engine.run_aside if beside_serving else engine.run_all
            reproducibility = _check_golden_samples(engine, run, card, manifest.golden, golden_images)
    trim_heap()  # loading leaves a few times the model's size
    return LoadedModel(
        identity=ModelIdentity(name=manifest.name, version=manifest.version, digest=digest_of(manifest)),
        card=card,
        licences=manifest.licences,
        engine=engine,
        reproducibility=reproducibility,
        load_s=time.monotonic() - start_s,
    )


@contextmanager
def _checked(model: bytes, folder: Path, *, beside_serving: bool) -> Iterator[CheckedFile]:
    """The model with its card, checked elsewhere where callers must not notice. Raises ArtifactError."""
    source = str(folder / MODEL_FILE)
    if beside_serving:
        with checked_aside(model, source=source) as checked:
            yield checked
    else:
        yield CheckedFile(read_card(model, source=source), model)


@contextmanager
def _run_errors(folder: Path, device: Device) -> Iterator[None]:
    """Names the bundle in the errors of its body, and makes ONNX Runtime's own, such as of memory, one of ours."""
    try:
        yield
    except (ArtifactError, ConfigError) as error:
        raise type(error)(f"{folder}: {error}") from error
    except Exception as error:  # ONNX Runtime's errors have no common base but Exception
        cause = f"{folder}: ONNX Runtime cannot run the model on {device} ({one_line(error)})"
        if device == "cpu":
            raise ArtifactError(f"{cause}; lower --max-batch if memory is short, otherwise export it again") from error
        raise ConfigError(f"{cause}; free memory of the GPU, lower --max-batch, or use --device cpu") from error


def _check_golden_samples(
    engine: Engine, run: Callable[[Rows], Rows], card: ModelCard, golden: GoldenSamples, grid: Images
) -> Reproducibility.ValueType:
    """Makes the golden samples again, all of them, and in every batch bucket, since each may run differently.

    A bucket that is larger than their number gets them over and over.
    """
    height, width, _ = image_shape(card)
    num_golden = len(golden.sha256)
    recorded = images.cut_grid(grid, num_golden, height, width)
    rows = golden_rows(card, golden.seed, num_golden)
    identical = True
    for count in {*engine.costs_s, num_golden}:
        places = np.arange(count) % num_golden
        made = run(rows[places]).columns[IMAGES_OUTPUT]
        digests = [sha256(image.tobytes()) for image in made]
        identical = identical and digests == [golden.sha256[place] for place in places]
        if not identical and int(np.abs(made.astype(np.int16) - recorded[places]).max()) > 1:
            raise ArtifactError(
                f"the model does not make its golden samples on {engine.lanes.device} in a batch of {count} "
                f"with ONNX Runtime {onnxruntime.__version__}; export it again, or serve it with the version that it "
                "was exported with"
            )
    return Reproducibility.REPRODUCIBILITY_IDENTICAL if identical else Reproducibility.REPRODUCIBILITY_WITHIN_ONE_LEVEL
