from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganserve.contract.bundle import sha256
from ganserve.contract.errors import ArtifactError, ConfigError
from ganserve.contract.manifest import read_manifest, write_manifest
from ganserve.contract.rows import Rows
from ganserve.runtime.lanes import Lanes
from ganserve.runtime.loader import LoadedModel, load_model
from ganserve.runtime.runners import CpuRunner
from ganserve.v1.model_pb2 import Reproducibility


def load(folder: Path, max_batch: int = 4) -> LoadedModel:
    with Lanes("cpu", 1) as lanes:
        return load_model(folder, lanes=lanes, max_batch=max_batch)


@pytest.fixture
def bundle(tmp_path: Path, make_bundle: Callable[..., Path]) -> Path:
    return make_bundle(tmp_path / "models", version=3)


def test_a_good_bundle_loads_and_makes_its_golden_samples(bundle: Path) -> None:
    model = load(bundle)
    assert (model.identity.name, model.identity.version) == ("tiny", 3)
    assert model.identity.digest == sha256((bundle / "model.onnx").read_bytes())
    assert model.reproducibility == Reproducibility.REPRODUCIBILITY_IDENTICAL
    assert [bucket.rows for bucket in model.runtime().buckets] == [1, 2, 4]


def test_a_bundle_of_the_former_format_loads(tmp_path: Path, make_former_bundle: Callable[..., Path]) -> None:
    model = load(make_former_bundle(tmp_path, "old"))
    assert model.identity.name == "old"
    assert model.reproducibility == Reproducibility.REPRODUCIBILITY_IDENTICAL


def flip_a_weight(bundle: Path) -> None:
    data = bytearray((bundle / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / "model.onnx").write_bytes(data)


def truncate(bundle: Path) -> None:
    os.truncate(bundle / "model.onnx", 100)


def append(bundle: Path) -> None:
    with (bundle / "model.onnx").open("ab") as file:
        file.write(b"\0")


def alter_samples(bundle: Path) -> None:
    Image.new("RGB", (60, 60)).save(bundle / "samples.png")


def link_elsewhere(bundle: Path) -> None:
    outside = bundle.parent.parent / "outside.onnx"
    (bundle / "model.onnx").rename(outside)
    (bundle / "model.onnx").symlink_to(outside)


def make_it_a_folder(bundle: Path) -> None:
    (bundle / "model.onnx").unlink()
    (bundle / "model.onnx").mkdir()


def remove_the_model(bundle: Path) -> None:
    (bundle / "model.onnx").unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (flip_a_weight, "torn or altered"),
        (truncate, "torn or altered"),
        (append, "torn or altered"),
        (alter_samples, "torn or altered"),
        (link_elsewhere, "symbolic links"),
        (make_it_a_folder, "Is a directory"),
        (remove_the_model, "No such file"),
    ],
)
def test_a_spoilt_bundle_is_refused(bundle: Path, spoil: Callable[[Path], None], message: str) -> None:
    spoil(bundle)
    with pytest.raises(ArtifactError, match="tiny/3/") as caught:
        load(bundle)
    assert message in str(caught.value)


def test_a_bundle_in_the_wrong_place_is_refused(bundle: Path) -> None:
    with pytest.raises(ArtifactError, match="holds tiny version 3"):
        load(bundle.rename(bundle.parent / "4"))


def claim_other_golden_samples(bundle: Path, levels: int) -> None:
    """Moves every recorded golden sample by some levels, with all digests made to agree."""
    grid = np.asarray(Image.open(bundle / "samples.png")).astype(np.int16)
    moved = np.where(grid > 128, grid - levels, grid + levels).astype(np.uint8)
    Image.fromarray(moved).save(bundle / "samples.png")
    data = (bundle / "samples.png").read_bytes()
    manifest = read_manifest(bundle)
    manifest.files["samples.png"].sha256, manifest.files["samples.png"].size_bytes = sha256(data), len(data)
    manifest.golden.sha256[:] = ["0" * 64 for _ in manifest.golden.sha256]
    write_manifest(manifest, bundle)


def test_golden_samples_within_one_level_are_reported_as_such(bundle: Path) -> None:
    claim_other_golden_samples(bundle, levels=1)
    assert load(bundle).reproducibility == Reproducibility.REPRODUCIBILITY_WITHIN_ONE_LEVEL


def test_other_golden_samples_are_refused(bundle: Path) -> None:
    claim_other_golden_samples(bundle, levels=2)
    with pytest.raises(ArtifactError, match="does not make its golden samples"):
        load(bundle)


@pytest.mark.parametrize("num_rows", [4, 64, 128])
def test_a_model_that_is_wrong_in_one_bucket_alone_is_refused(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, num_rows: int
) -> None:
    """Buckets may be larger than the number of golden samples, which is 64 here."""
    run = CpuRunner.run

    def run_wrongly(runner: CpuRunner, rows: Rows) -> Rows:
        made = run(runner, rows)
        if len(rows) == num_rows:
            made.columns["images"][-1] ^= 255
        return made

    monkeypatch.setattr(CpuRunner, "run", run_wrongly)
    with pytest.raises(ArtifactError, match=rf"does not make its golden samples on cpu in a batch of {num_rows} "):
        load(bundle, max_batch=128)


def test_a_model_that_fails_in_warm_up_is_one_line_with_a_cure(
    tmp_path: Path, make_picky_bundle: Callable[..., Path]
) -> None:
    """Warm-up runs rows of zeros; the golden samples, which the bundle was made with, are others."""
    bundle = make_picky_bundle(tmp_path, fails_where="Equal", bound=0.0)
    with pytest.raises(
        ArtifactError, match=r"picky/1: ONNX Runtime cannot run the model on cpu \(.*\); lower"
    ) as caught:
        load(bundle)
    assert "\n" not in str(caught.value)


def test_an_error_of_loading_names_the_bundle(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ArtifactError("ONNX Runtime cannot load the model: out of memory")

    monkeypatch.setattr("ganserve.runtime.engine.open_runner", refuse)
    with pytest.raises(ArtifactError, match="tiny/3: ONNX Runtime cannot load the model: out of memory"):
        load(bundle)


def test_a_failure_on_cuda_is_of_the_device(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As ONNX Runtime fails where the GPU's memory is too small, without a GPU."""

    class FullGpu(CpuRunner):
        def run(self, rows: Rows) -> Rows:  # noqa: ARG002
            raise RuntimeError("CUDA failure 2: out of memory\n at cuda_allocator.cc")

    monkeypatch.setattr("ganserve.runtime.engine.open_runner", lambda model, signature, *_: FullGpu(model, signature))
    message = r"tiny/3: ONNX Runtime cannot run the model on cuda \(CUDA failure 2: out of memory at .*\); free memory"
    with Lanes("cuda", 1) as lanes, pytest.raises(ConfigError, match=message):
        load_model(bundle, lanes=lanes, max_batch=2)
