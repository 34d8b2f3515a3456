"""What an operator may do with the models of a folder, and what a watched folder does by itself."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ganserve.contract.errors import (
    ArtifactError,
    InvalidRequestError,
    NotFoundError,
    PreconditionError,
    RequestError,
)
from ganserve.contract.files import new_folder
from ganserve.serving.administration import Administration
from ganserve.serving.aliases import ALIASES_FILE, read_aliases
from ganserve.serving.bundles import list_bundles
from ganserve.serving.folder_watch import FolderWatch
from ganserve.serving.metrics import Metrics
from ganserve.serving.repository import Repository
from ganserve.v1.admin_pb2 import ModelStatus
from ganserve.v1.generator_pb2 import ModelSelector
from ganserve.v1.model_pb2 import ModelState

MakeBundle = Callable[..., Path]


@dataclass(frozen=True)
class Stage:
    """A repository of `tiny:1` and `tiny:2`, which serve, and what acts on it."""

    models: Path
    repository: Repository
    administration: Administration
    watch: FolderWatch
    metrics: Metrics

    def answers(self, **selector: object) -> int:
        """The version that answers."""
        return self.repository.resolve(ModelSelector(name="tiny", **selector), field="query.model").identity.version  # type: ignore[arg-type]

    def failures(self) -> float | None:
        return self.metrics.registry.get_sample_value(
            "ganserve_model_loads_total", {"model": "tiny", "outcome": "failed"}
        )

    async def statuses(self) -> dict[int, ModelStatus]:
        """By version; of two of one version, the one that serves."""
        found = reversed(await self.administration.status())
        return {status.identity.version: status for status in found if status.state != ModelState.MODEL_STATE_DRAINING}


Story = Callable[[Stage], Awaitable[None]]
Play = Callable[[Story], None]


@pytest.fixture
def play(tmp_path: Path, make_bundle: MakeBundle) -> Play:
    """Plays a story on a stage."""
    models = tmp_path / "models"
    for version in (1, 2):
        make_bundle(models, "tiny", version)

    async def run(story: Story) -> None:
        metrics = Metrics()
        repository = Repository(
            device="cpu", num_lanes=1, max_batch=1, max_queued_rows=1, max_wait_s=30.0, linger_s=0, metrics=metrics
        )
        administration = Administration(repository, models)
        watch = FolderWatch(administration, repository, models)
        await administration.read_aliases()
        await watch.begin()
        for bundle in list_bundles(models):
            await administration.load_bundle(bundle)
        await story(Stage(models, repository, administration, watch, metrics))
        await administration.close()
        await repository.close()

    return lambda story: asyncio.run(asyncio.wait_for(run(story), 60))


def test_a_model_is_loaded_in_the_place_of_another_and_unloaded(play: Play, make_bundle: MakeBundle) -> None:
    async def story(stage: Stage) -> None:
        before = stage.repository.resolve(ModelSelector(name="tiny"), field="model")
        status = await stage.administration.load("tiny", None)
        after = stage.repository.resolve(ModelSelector(name="tiny"), field="model")
        assert status.identity.version == 2
        assert after is not before
        await stage.repository.freed()
        assert not hasattr(before.loaded.engine, "_runner")
        make_bundle(stage.models, "tiny", 3)
        found = (await stage.statuses())[3]
        assert (found.in_folder, found.state) == (True, ModelState.MODEL_STATE_UNSPECIFIED)
        await stage.administration.load("tiny", 3)
        assert stage.answers() == 3
        assert await stage.administration.unload("tiny", 3) == [3]
        assert stage.answers() == 2
        assert await stage.administration.unload("tiny", None) == [1, 2]
        with pytest.raises(NotFoundError, match="this server has no models"):
            stage.answers()

    play(story)


def test_an_alias_moves_at_once_and_is_kept_in_the_folder(play: Play) -> None:
    async def story(stage: Stage) -> None:
        assert await stage.administration.move_alias("tiny", "stable", 1) is None
        assert stage.answers() == stage.answers(alias="stable") == 1
        assert read_aliases(stage.models) == {"tiny": {"stable": 1}}
        with pytest.raises(PreconditionError, match="the alias tiny:stable points to version 1"):
            await stage.administration.unload("tiny", None)
        assert stage.answers(version=2) == 2  # none was unloaded
        (stage.models / ALIASES_FILE).write_text('{"tiny": {"canary": 2, "stable": 1}}')  # by hand, meanwhile
        assert await stage.administration.move_alias("tiny", "stable", 2) == 1
        assert stage.answers(alias="canary") == 2
        assert (await stage.statuses())[2].aliases == ["canary", "stable"]
        assert await stage.administration.move_alias("tiny", "stable", None) == 2
        assert read_aliases(stage.models) == {"tiny": {"canary": 2}}

    play(story)


@pytest.mark.parametrize(
    ("act", "error", "text"),
    [
        (lambda admin: admin.load("../tiny", 1), NotFoundError, "there is no bundle ../tiny/1"),
        (lambda admin: admin.load("/etc", None), NotFoundError, "there is no bundle of '/etc'"),
        (lambda admin: admin.load("tiny", 0), NotFoundError, "there is no bundle tiny/0"),
        (lambda admin: admin.load("tiny/1", None), NotFoundError, "there is no bundle of 'tiny/1'"),
        (lambda admin: admin.unload("faces", None), NotFoundError, "'faces' is not loaded"),
        (lambda admin: admin.unload("tiny", 7), NotFoundError, "'tiny' is not loaded in version 7"),
        (lambda admin: admin.move_alias("tiny", "stable", 7), NotFoundError, "tiny:7 is not loaded"),
        (lambda admin: admin.move_alias("tiny", "2", 2), InvalidRequestError, "'2' is no alias"),
        (lambda admin: admin.move_alias("tiny", "../x", 2), InvalidRequestError, "'../x' is no alias"),
        (lambda admin: admin.move_alias("tiny", "beta", None), NotFoundError, "'tiny' has no alias 'beta'"),
    ],
)
def test_only_what_is_there_can_be_named(
    play: Play, act: Callable[[Administration], Awaitable[object]], error: type[RequestError], text: str
) -> None:
    async def story(stage: Stage) -> None:
        with pytest.raises(error) as caught:
            await act(stage.administration)
        assert text in str(caught.value)
        assert str(stage.models) not in str(caught.value)
        assert [path.name for path in stage.models.iterdir()] == ["tiny"]

    play(story)


def test_a_link_out_of_the_folder_is_not_followed(play: Play, tmp_path: Path, make_bundle: MakeBundle) -> None:
    async def story(stage: Stage) -> None:
        (stage.models / "tiny" / "3").symlink_to(make_bundle(tmp_path / "elsewhere", "tiny", 3))
        with pytest.raises(NotFoundError, match="leads out of the folder of models"):
            await stage.administration.load("tiny", 3)

    play(story)


def test_a_refused_bundle_tells_why_and_the_one_before_goes_on(play: Play) -> None:
    async def story(stage: Stage) -> None:
        (stage.models / "tiny" / "2" / "model.onnx").write_bytes(b"")
        with pytest.raises(PreconditionError, match=r"tiny/2/model\.onnx is torn or altered") as caught:
            await stage.administration.load("tiny", 2)
        assert str(stage.models) not in str(caught.value)
        assert stage.answers() == 2
        status = (await stage.statuses())[2]
        assert status.state == ModelState.MODEL_STATE_SERVING
        assert status.reason.startswith("a new bundle was refused: tiny/2/model.onnx is torn")
        assert stage.failures() == 1

    play(story)


def test_the_caller_may_leave_and_the_load_goes_on(play: Play) -> None:
    async def story(stage: Stage) -> None:
        before = stage.repository.resolve(ModelSelector(name="tiny"), field="model")
        caller = asyncio.create_task(stage.administration.load("tiny", 2))
        while not any(entry.is_loading for entry in stage.repository.entries):  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0)
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)
        await stage.administration.load("tiny", 1)  # in turn, after it
        assert stage.repository.resolve(ModelSelector(name="tiny"), field="model") is not before

    play(story)


def test_a_watched_folder_is_followed(play: Play, tmp_path: Path, make_bundle: MakeBundle) -> None:
    async def story(stage: Stage) -> None:
        await stage.watch.follow()
        first = stage.repository.resolve(ModelSelector(name="tiny", version=1), field="model")
        make_bundle(stage.models, "tiny", 3)
        await stage.watch.follow()
        assert stage.answers() == 3
        assert stage.repository.resolve(ModelSelector(name="tiny", version=1), field="model") is first

        def darken(model: object) -> None:
            model.graph.initializer[0].raw_data = bytes(len(model.graph.initializer[0].raw_data))  # type: ignore[attr-defined]

        other = make_bundle(tmp_path / "other", "tiny", 1, change=darken)
        with new_folder(stage.models / "tiny" / "1", replace=True) as folder:
            shutil.copytree(other, folder, dirs_exist_ok=True)
        await stage.watch.follow()
        swapped = stage.repository.resolve(ModelSelector(name="tiny", version=1), field="model")
        assert swapped.identity.digest != first.identity.digest
        (stage.models / ALIASES_FILE).write_text('{"tiny": {"stable": 1}}')
        await stage.watch.follow()
        assert stage.answers() == 1
        (stage.models / ALIASES_FILE).write_text("{")
        await stage.watch.follow()
        assert stage.answers() == 1
        shutil.rmtree(stage.models / "tiny" / "3")
        await stage.watch.follow()
        assert stage.answers(version=3) == 3
        await stage.watch.follow()
        with pytest.raises(NotFoundError):
            stage.answers(version=3)

    play(story)


def test_what_is_still_written_is_waited_for_and_what_was_refused_is_tried_again(
    play: Play, make_bundle: MakeBundle
) -> None:
    async def story(stage: Stage) -> None:
        bundle = make_bundle(stage.models, "tiny", 3)
        whole = (bundle / "model.onnx").read_bytes()
        (bundle / "model.onnx").write_bytes(whole[:100])
        await stage.watch.follow()
        assert 3 not in {entry.version for entry in stage.repository.entries}
        await stage.watch.follow()
        await stage.watch.follow()
        assert stage.answers() == 2
        status = (await stage.statuses())[3]
        assert status.state == ModelState.MODEL_STATE_UNAVAILABLE
        assert status.reason == f"it is not complete: tiny/3/model.onnx has 100 of {len(whole):,} bytes"
        assert stage.failures() == 1
        (bundle / "model.onnx").write_bytes(whole)
        await stage.watch.follow()
        assert stage.answers() == 3

    play(story)


def test_what_an_operator_unloads_stays_so_until_it_changes(play: Play) -> None:
    async def story(stage: Stage) -> None:
        await stage.administration.unload("tiny", 2)
        await stage.watch.follow()
        assert stage.answers() == 1
        (stage.models / "tiny" / "2" / "model.onnx").touch()
        await stage.watch.follow()
        assert stage.answers() == 2

    play(story)


def test_a_folder_that_has_gone_changes_nothing(play: Play) -> None:
    async def story(stage: Stage) -> None:
        stage.models.rename(stage.models.with_name("moved"))
        for _ in range(3):
            with pytest.raises(ArtifactError, match="is not a folder"):
                await stage.watch.follow()
        assert stage.answers() == 2
        stage.models.with_name("moved").rename(stage.models)
        await stage.watch.follow()
        assert stage.answers() == 2

    play(story)
