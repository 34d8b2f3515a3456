"""What a plan says, and what is refused because of it."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
from collections.abc import Generator
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import pytest

from ganserve.client import (
    ConfigError,
    InvalidRequestError,
    LocalGenerator,
    PreconditionError,
    RequestError,
    Samples,
)
from ganserve.contract.errors import ArtifactError
from ganserve.dump import Plan, make_plan, read_dump, write_dump, write_shard
from ganserve.dump.records import begin
from ganserve.v1.dump_pb2 import DumpPlan
from ganserve.v1.model_pb2 import Provenance, Reproducibility

from .conftest import MakeBundle, content

OTHER_VERSION = Provenance(
    device="cpu", onnxruntime_version="0.0.1", reproducibility=Reproducibility.REPRODUCIBILITY_IDENTICAL
)
ONE_LEVEL = Provenance(
    device="cuda",
    onnxruntime_version="0.0.1",
    reproducibility=Reproducibility.REPRODUCIBILITY_WITHIN_ONE_LEVEL,
)


class Elsewhere:
    """A source whose samples are made by something else, from the so-manieth batch on."""

    def __init__(self, source: LocalGenerator, provenance: Provenance, since: int = 0) -> None:
        self._source = source
        self._provenance = provenance
        self._since = since

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def pinned(self) -> Elsewhere:
        return self

    def generate(self, *args: Any, **kwargs: Any) -> Samples:
        return (
            self._changed(self._source.generate(*args, **kwargs))
            if not self._since
            else self._source.generate(*args, **kwargs)
        )

    def batches(self, size: int, **kwargs: Any) -> Generator[Samples]:  # noqa: ARG002
        for place, samples in enumerate(self._source.batches(2, **kwargs)):
            yield samples if place < self._since else self._changed(samples)

    def _changed(self, samples: Samples) -> Samples:
        samples.provenance.CopyFrom(self._provenance)
        return samples


@pytest.mark.parametrize(("num_samples", "num_shards"), [(1, 1), (10, 3), (7, 7), (100_003, 16)])
def test_shards_divide_the_samples(source: LocalGenerator, num_samples: int, num_shards: int) -> None:
    plan = make_plan(source, num_samples, format="parquet", num_shards=num_shards, first_index=5)
    spans = [plan.span(shard) for shard in range(num_shards)]
    assert spans[0][0] == 5
    assert all(first + count == following for (first, count), (following, _) in itertools.pairwise(spans))
    assert sum(count for _, count in spans) == num_samples
    assert max(count for _, count in spans) - min(count for _, count in spans) <= 1


def test_shards_are_as_many_as_the_samples_ask_for(source: LocalGenerator) -> None:
    assert make_plan(source, 100_000, format="webdataset").num_shards == 1
    assert make_plan(source, 100_001, format="folder").num_shards == 2
    assert make_plan(source, 10**9, format="parquet").num_shards == 10_000
    assert make_plan(source, 10**9, format="zip").num_shards == 1


LABELS: list[dict[str, Any]] = [
    {},
    {"labels": "uniform"},
    {"labels": "dog"},
    {"labels": 2},
    {"labels": ["dog", 0, "emu", "emu"]},
    {"labels": {"cat": 0.25, 2: 1}},
    {"counts": {"dog": 7, 0: 4}},
]


@pytest.mark.parametrize("labels", LABELS, ids=str)
def test_labels_are_those_of_the_whole(source: LocalGenerator, labels: dict[str, Any]) -> None:
    whole = source.generate(11, seed=3, first_index=2**63, **labels)
    plan = make_plan(source, 11, format="npz", num_shards=3, seed=3, first_index=2**63, **labels)
    parts = [samples for shard in range(3) for samples in plan.samples(shard, source)]
    assert Samples.join(parts).numpy().tobytes() == whole.numpy().tobytes()


def test_counts_say_how_many(source: LocalGenerator) -> None:
    assert make_plan(source, format="zip", counts={"dog": 7, 0: 4}).num_samples == 11


def test_a_plan_travels_to_other_processes(source: LocalGenerator) -> None:
    plan = make_plan(source, 11, format="zip", labels=["dog", 0])
    assert ForkingPickler.loads(ForkingPickler.dumps(plan)) == plan
    assert Plan(DumpPlan.FromString(plan.message.SerializeToString())) == plan


def test_a_source_that_may_differ_in_a_pixel_is_refused(source: LocalGenerator, tmp_path: Path) -> None:
    with pytest.raises(PreconditionError, match="within one level of the exporter's samples, not equal to them"):
        make_plan(Elsewhere(source, ONE_LEVEL), 4, format="zip")
    plan = make_plan(Elsewhere(source, ONE_LEVEL), 4, format="zip", within_one_level=True)
    write_dump(plan, Elsewhere(source, ONE_LEVEL), tmp_path / "more")
    with pytest.raises(
        PreconditionError, match=r"0\.0\.1 on cuda within one level, and this server has ONNX Runtime .* on cpu"
    ):
        write_shard(plan, 0, source, tmp_path / "other")


def test_a_server_that_does_not_tell_is_refused(source: LocalGenerator) -> None:
    with pytest.raises(PreconditionError, match="does not tell what makes the samples"):
        make_plan(Elsewhere(source, Provenance()), 4, format="zip")


@pytest.mark.parametrize("since", [0, 1, 3])
def test_another_version_that_answers_in_between_is_refused(source: LocalGenerator, tmp_path: Path, since: int) -> None:
    plan = make_plan(source, 8, format="zip")
    with pytest.raises(PreconditionError, match=r"made by ONNX Runtime .*, and this server has ONNX Runtime 0\.0\.1"):
        write_dump(plan, Elsewhere(source, OTHER_VERSION, since), tmp_path / "more")
    assert list(content(tmp_path / "more")) == ["dump.json"]


def test_another_model_is_refused(source: LocalGenerator, make_bundle: MakeBundle, tmp_path: Path) -> None:
    plan = make_plan(source, 8, format="zip")
    with (
        LocalGenerator(make_bundle(tmp_path / "models", version=2)) as other,
        pytest.raises(PreconditionError, match="the server changed to tiny:2@"),
    ):
        write_dump(plan, other, tmp_path / "more")


def test_a_folder_with_another_dump_is_refused(source: LocalGenerator, tmp_path: Path) -> None:
    write_dump(make_plan(source, 8, format="zip"), source, tmp_path)
    before = content(tmp_path)
    others: list[tuple[dict[str, Any], str]] = [
        ({"seed": 4}, "address.seed is 0 there and 4 here"),
        ({"truncation": 1.5}, "address.truncation is not given there and 1.5 here"),
        ({"spread": 1.5}, "address.spread is not given there and 1.5 here"),
        ({"labels": 1}, "labels.one.label is not given there and 1 here"),
        ({"num_shards": 2}, "num_shards is 1 there and 2 here"),
        ({"format": "folder"}, "format is zip there and folder here"),
    ]
    for changes, says in others:
        other = make_plan(source, 8, **{"format": "zip", **changes})
        with pytest.raises(ConfigError, match="holds another dump") as caught:
            write_dump(other, source, tmp_path)
        assert says in str(caught.value)
    with pytest.raises(PreconditionError, match="may differ in a pixel"):
        write_dump(make_plan(Elsewhere(source, OTHER_VERSION), 8, format="zip"), source, tmp_path)
    assert content(tmp_path) == before


def test_a_shard_of_another_plan_is_found_out(source: LocalGenerator, tmp_path: Path) -> None:
    """Such as one that a machine with another ONNX Runtime wrote, copied into the same folder."""
    plan = make_plan(source, 8, format="zip", num_shards=2)
    other = Elsewhere(source, OTHER_VERSION)
    write_shard(make_plan(other, 8, format="zip", num_shards=2), 1, other, tmp_path / "other")
    write_shard(plan, 0, source, tmp_path / "more")
    for path in (tmp_path / "other").glob("samples-*"):
        path.rename(tmp_path / "more" / path.name)
    with pytest.raises(ArtifactError, match=r"provenance\.onnxruntime_version is 0\.0\.1 there"):
        write_dump(plan, source, tmp_path / "more")


def test_a_folder_with_anything_else_is_refused(source: LocalGenerator, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match=r"holds thesis\.txt and no dump"):
        write_dump(make_plan(source, 8, format="folder"), source, tmp_path)
    assert list(content(tmp_path)) == ["thesis.txt"]
    with pytest.raises(ConfigError, match="is a file"):
        write_dump(make_plan(source, 8, format="folder"), source, tmp_path / "thesis.txt")


@pytest.mark.parametrize(
    "text", ["", "{", '{"format": "ganserve-dump/9"}', "[]", '{"format": "ganserve-dump/1"}', "\xff"]
)
def test_a_torn_dump_file_is_told(source: LocalGenerator, tmp_path: Path, text: str) -> None:
    (tmp_path / "dump.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ArtifactError, match=r"dump\.json is"):
        write_dump(make_plan(source, 8, format="folder"), source, tmp_path)


@pytest.mark.parametrize("format", ["folder", "zip", "webdataset", "parquet", "npz"])
@pytest.mark.parametrize("torn", ["dump.json", "a record"])
@pytest.mark.parametrize("num_done", [0, 1, 2])
def test_what_a_torn_file_advises_helps(
    source: LocalGenerator,
    tmp_path: Path,
    format: str,  # noqa: A002
    torn: str,
    num_done: int,
) -> None:
    """However far the dump was: what is said is done, and then the dump is the bytes of one without trouble."""
    plan, more = make_plan(source, 9, format=format, num_shards=2), tmp_path / "more"
    write_dump(plan, source, tmp_path / "reference")
    begin(plan, more)
    for shard in range(num_done):
        write_shard(plan, shard, source, more)
    if num_done == 2 and torn == "dump.json":
        write_dump(plan, source, more)
    path = more / "dump.json" if torn == "dump.json" else more / f"{plan.file_name(0)}.json"
    path.write_text("{")
    with pytest.raises(ArtifactError, match=r"is torn, altered .*[^.]; ") as caught:
        write_dump(plan, source, more)
    if "remove it, and the same command goes on" in str(caught.value):
        path.unlink()
    else:
        assert "empty the folder, or give another" in str(caught.value)
        path.unlink()
        before = content(more)
        with pytest.raises(ConfigError, match=r"holds samples-.* and no dump\.json.*; empty the folder, or give"):
            write_dump(plan, source, more)
        assert content(more) == before
        shutil.rmtree(more)
    write_dump(plan, source, more)
    assert content(more) == content(tmp_path / "reference")


def test_a_finished_dump_can_be_read(source: LocalGenerator, tmp_path: Path) -> None:
    plan = make_plan(source, 9, format="zip", num_shards=2)
    write_shard(plan, 0, source, tmp_path)
    assert not read_dump(tmp_path).shards
    write_dump(plan, source, tmp_path)
    dump = read_dump(tmp_path)
    assert Plan(dump.plan) == plan
    assert [(shard.first_index, shard.count) for shard in dump.shards] == [(0, 4), (4, 5)]
    with pytest.raises(ArtifactError, match="holds no dump"):
        read_dump(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"format": "tar"}, ConfigError, "format 'tar' does not exist; use folder, zip"),
        ({"format": "zip", "image_format": "raw"}, ConfigError, "zip holds images as png or webp, not as raw"),
        ({"format": "npz", "image_format": "png"}, ConfigError, "npz holds images as raw, not as png"),
        ({"format": "zip", "image_format": "jpeg"}, ConfigError, "not as jpeg"),
        ({"format": "zip", "num_shards": 0}, ConfigError, "the number of shards is 0"),
        ({"format": "zip", "num_shards": 9}, ConfigError, "8 samples can be divided into 1 to 8"),
        ({"format": "zip", "labels": "cow"}, InvalidRequestError, "there is no class 'cow'"),
        ({"format": "zip", "truncation": 0}, InvalidRequestError, "truncation is 0"),
        ({"format": "zip", "seed": -1}, InvalidRequestError, "seed is -1"),
        ({"format": "zip", "counts": {"dog": 3}}, InvalidRequestError, "the counts add up to 3"),
    ],
)
def test_what_cannot_be_planned(
    source: LocalGenerator, options: dict[str, Any], error: type[RequestError], says: str
) -> None:
    with pytest.raises(error, match=says):
        make_plan(source, 8, **options)


def test_there_is_no_such_shard(source: LocalGenerator, tmp_path: Path) -> None:
    for shard in (-1, 2):
        with pytest.raises(ConfigError, match=f"there is no shard {shard}; there are 0 to 1"):
            write_shard(make_plan(source, 8, format="zip", num_shards=2), shard, source, tmp_path / "more")


def test_parquet_without_its_library_names_the_extra(bundle: Path, tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['pyarrow'] = None; from ganserve.cli import main; "
        f"sys.exit(main(['dump', '--bundle', {str(bundle)!r}, '-n', '4', '--format', 'parquet', '--out', 'more']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("ganserve: error: Parquet files need pyarrow, which is not installed; in the folder")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "more").exists()
