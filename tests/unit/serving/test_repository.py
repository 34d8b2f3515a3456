from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from ganserve.contract.errors import (
    ArtifactError,
    ConfigError,
    InvalidRequestError,
    NotFoundError,
    PreconditionError,
    UnavailableError,
)
from ganserve.contract.rows import Rows
from ganserve.runtime.device import DeviceChoice
from ganserve.runtime.runners import CpuRunner
from ganserve.runtime.sources import open_source
from ganserve.serving.bundles import find_bundles, find_strays, told_without_folder
from ganserve.serving.model import Model
from ganserve.serving.repository import Repository
from ganserve.serving.scheduler import Caller
from ganserve.v1.bundle_pb2 import Signature
from ganserve.v1.generator_pb2 import ModelSelector, SampleAddress, SampleQuery


@pytest.fixture
def models(tmp_path: Path, make_bundle: Callable[..., Path]) -> Path:
    for version in (1, 2, 10):
        make_bundle(tmp_path, "tiny", version)
    make_bundle(tmp_path, "other")
    return tmp_path


Story = Callable[[Repository], Awaitable[None]]
Play = Callable[[Story], None]


@pytest.fixture
def play(models: Path) -> Play:
    """Plays a story with the repository of all bundles."""

    async def run(story: Story) -> None:
        repository = Repository(device="cpu", num_lanes=1, max_batch=1, max_queued_rows=1, max_wait_s=30.0, linger_s=0)
        for folder in find_bundles(models):
            await repository.open(folder)
        await story(repository)
        await repository.close()

    return lambda story: asyncio.run(run(story))


def resolve(repository: Repository, selector: ModelSelector) -> Model:
    return repository.resolve(selector, field="query.model")


def test_bundles_are_found_in_order_and_other_things_passed_over(models: Path) -> None:
    (models / "notes.txt").write_text("")
    (models / "Not A Model" / "1").mkdir(parents=True)
    (models / "tiny" / ".half-written").mkdir()
    (models / "tiny" / "latest").mkdir()
    found = [str(path.relative_to(models)) for path in find_bundles(models)]
    assert found == ["other/1", "tiny/1", "tiny/2", "tiny/10"]


def test_the_highest_version_answers_unless_another_is_asked_for(play: Play) -> None:
    async def story(repository: Repository) -> None:
        assert resolve(repository, ModelSelector(name="tiny")).identity.version == 10
        assert resolve(repository, ModelSelector(name="tiny", version=2)).identity.version == 2

    play(story)


def test_a_digest_chooses_the_version_that_has_it(play: Play) -> None:
    async def story(repository: Repository) -> None:
        first = resolve(repository, ModelSelector(name="tiny", version=1)).identity
        assert first.digest != resolve(repository, ModelSelector(name="tiny")).identity.digest
        assert resolve(repository, ModelSelector(name="tiny", digest=first.digest)).identity == first
        with pytest.raises(PreconditionError, match=f"this server has 2: (?!{first.digest})"):
            resolve(repository, ModelSelector(name="tiny", version=2, digest=first.digest))
        with pytest.raises(PreconditionError, match="no version with the digest 0000"):
            resolve(repository, ModelSelector(name="tiny", digest="0000"))

    play(story)


def test_what_is_not_there_is_named(play: Play) -> None:
    cases = [
        (ModelSelector(), InvalidRequestError, "name a model; this server has 'other', 'tiny'"),
        (ModelSelector(name="huge"), NotFoundError, "no model 'huge'; this server has 'other', 'tiny'"),
        (ModelSelector(name="../tiny"), NotFoundError, "no model '../tiny'"),
        (ModelSelector(name="tiny", version=0), NotFoundError, "no version 0; this server has 1, 2, 10"),
    ]

    async def story(repository: Repository) -> None:
        for selector, error, message in cases:
            with pytest.raises(error) as caught:
                resolve(repository, selector)
            assert message in str(caught.value)

    play(story)


def test_an_unloaded_model_finishes_the_calls_under_way_and_takes_no_more(play: Play) -> None:
    async def story(repository: Repository) -> None:
        newest = ModelSelector(name="tiny")
        model = resolve(repository, newest)
        with model.in_use:
            await repository.unload("tiny", 10)
            assert resolve(repository, newest).identity.version == 2
            await asyncio.sleep(0.05)
            assert model in repository.retired
            source = open_source(SampleQuery(address=SampleAddress(seed=1, count=1)), model.card)
            made = await model.batcher.run(source, 0, 1, Caller(client="a"))
            assert len(made) == 1
        await repository.freed()
        with pytest.raises(UnavailableError):
            await model.batcher.run(source, 0, 1, Caller(client="a"))

    play(story)


def test_auto_goes_on_with_the_cpu_where_cuda_fails_in_warm_up(
    models: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As ONNX Runtime fails where it cannot capture a graph, without a GPU."""

    class NoGraph(CpuRunner):
        def run(self, rows: Rows) -> Rows:  # noqa: ARG002
            raise RuntimeError("CUDA graph cannot be captured")

    def open_on(model: bytes, signature: Signature, device: str, buckets: Sequence[int]) -> CpuRunner:  # noqa: ARG001
        return NoGraph(model, signature) if device == "cuda" else CpuRunner(model, signature)

    monkeypatch.setattr("ganserve.runtime.device.count_gpus", lambda: 1)
    monkeypatch.setattr("ganserve.runtime.engine.open_runner", open_on)

    async def story(device: DeviceChoice) -> None:
        repository = Repository(device=device, num_lanes=1, max_batch=1, max_queued_rows=1, max_wait_s=30.0)
        try:
            model = await repository.open(models / "tiny" / "1")
            assert model.loaded.engine.lanes.device == "cpu"
        finally:
            await repository.close()

    asyncio.run(story("auto"))
    (line,) = [record.getMessage() for record in caplog.records]
    assert "tiny/1: ONNX Runtime cannot run the model on cuda (CUDA graph cannot be captured)" in line
    assert line.endswith("; going on with the CPU")
    with pytest.raises(ConfigError, match="or use --device cpu"):
        asyncio.run(story("cuda"))


def test_models_of_one_device_share_its_lanes(play: Play) -> None:
    async def story(repository: Repository) -> None:
        assert len({id(model.loaded.engine.lanes) for model in repository}) == 1

    play(story)


def test_a_missing_folder_and_an_empty_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="is not a folder"):
        find_bundles(tmp_path / "nowhere")
    with pytest.raises(ArtifactError, match="holds no model; export one"):
        find_bundles(tmp_path)


def test_a_folder_too_deep_is_told_from_an_empty_one(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ArtifactError, match=f"tiny/10 is one version of a model; give .*: --models {models}$"):
        find_bundles(models / "tiny" / "10")
    with pytest.raises(ArtifactError, match=f"tiny is the folder of one model; give .*: --models {models}$"):
        find_bundles(models / "tiny")
    monkeypatch.chdir(models.parent)
    with pytest.raises(ArtifactError, match=f"--models {models.name}$"):
        find_bundles(Path(models.name, "tiny", "10"))
    monkeypatch.chdir(models)
    with pytest.raises(ArtifactError, match=r"--models \.$"):
        find_bundles(Path("tiny", "10"))
    monkeypatch.chdir(models / "tiny" / "10")
    with pytest.raises(ArtifactError, match=f"--models {models}$"):
        find_bundles(Path())


def test_onnx_files_beside_bundles_are_found_and_how_they_are_brought_in_told(tmp_path: Path, models: Path) -> None:
    assert find_strays(models) == []
    (models / "other.onnx").write_bytes(b"")
    (models / "tiny" / "net.onnx").write_bytes(b"")
    assert find_strays(models) == [models / "other.onnx", models / "tiny" / "net.onnx"]
    assert len(find_bundles(models)) == 4
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "net.onnx").write_bytes(b"")
    with pytest.raises(ArtifactError, match=f"`ganserve import {folder}/net.onnx --models {folder}`"):
        find_bundles(folder)


@pytest.mark.parametrize("relative", [False, True])
def test_a_fault_is_told_without_the_place_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, relative: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    models = Path("models") if relative else tmp_path / "models"
    fault = f"{models}/tiny/1/model.onnx is torn; only one-file models are read"
    assert told_without_folder(fault, models) == "tiny/1/model.onnx is torn; only one-file models are read"
    fault = f"{tmp_path}/models is not a folder"
    assert told_without_folder(fault, models) == "the folder of models is not a folder"


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path, make_bundle: Callable[..., Path]) -> None:
    elsewhere = make_bundle(tmp_path / "elsewhere")
    (tmp_path / "models" / "tiny").mkdir(parents=True)
    (tmp_path / "models" / "tiny" / "1").symlink_to(elsewhere)

    async def open_it() -> None:
        repository = Repository(device="cpu", num_lanes=1, max_batch=1, max_queued_rows=1, max_wait_s=30.0)
        with pytest.raises(ArtifactError, match="leads out of"):
            await repository.open(*find_bundles(tmp_path / "models"))
        (entry,) = repository.entries
        assert entry.model is None
        assert entry.reason == "tiny/1 leads out of the folder of models; put the bundle itself there, not a link to it"
        await repository.close()

    asyncio.run(open_it())
