"""From a bundle's folder to a model that is proven to make what its exporter recorded."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import onnxruntime

from ganserve.contract.bundle import MODEL_FILE, SAMPLES_FILE, check_signature, misplacement, read_verified
from ganserve.contract.errors import ArtifactError, ConfigError
from ganserve.contract.manifest import digest_of, read_manifest
from ganserve.contract.text import one_line
from ganserve.v1.bundle_pb2 import Licences
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
from .golden import Proof, check_golden_samples
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
    proof: Proof
    load_s: float

    @property
    def loaded(self) -> LoadedModel:
        """Itself: a model of a chain that no server runs."""
        return self

    @property
    def reproducibility(self) -> Reproducibility.ValueType:
        """How far its golden samples are those of the exporter."""
        return self.proof.reproducibility

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
        with _run_errors(folder, lanes.device):
            engine = Engine(opened, manifest.signature, lanes=lanes, max_batch=max_batch)
            run = engine.run_aside if beside_serving else engine.run_all
            proof = check_golden_samples(engine, run, card, manifest.golden, samples)
    trim_heap()  # loading leaves a few times the model's size
    return LoadedModel(
        identity=ModelIdentity(name=manifest.name, version=manifest.version, digest=digest_of(manifest)),
        card=card,
        licences=manifest.licences,
        engine=engine,
        proof=proof,
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
