from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ganserve.contract.errors import ArtifactError, InvalidRequestError, NotFoundError, PreconditionError
from ganserve.runtime.loader import load_model
from ganserve.serving.batcher import Batcher
from ganserve.serving.repository import Model, Repository, find_bundles
from ganserve.v1.generator_pb2 import ModelSelector


@pytest.fixture
def models(tmp_path: Path, make_bundle: Callable[..., Path]) -> Path:
    for version in (1, 2, 10):
        make_bundle(tmp_path, "tiny", version)
    make_bundle(tmp_path, "other")
    return tmp_path


@pytest.fixture
def repository(models: Path) -> Iterator[Repository]:
    repository = Repository()
    for folder in find_bundles(models):
        loaded = load_model(folder, device="cpu", num_lanes=1, max_batch=1)
        batcher = Batcher(loaded.engine, max_queued_rows=1)
        repository.add(Model(loaded=loaded, batcher=batcher, max_samples_per_request=1, max_samples_per_part=1))
    yield repository
    for model in repository:
        model.loaded.engine.close()


def resolve(repository: Repository, selector: ModelSelector) -> Model:
    return repository.resolve(selector, field="query.model")


def test_bundles_are_found_in_order_and_other_things_passed_over(models: Path) -> None:
    (models / "notes.txt").write_text("")
    (models / "Not A Model" / "1").mkdir(parents=True)
    (models / "tiny" / ".half-written").mkdir()
    (models / "tiny" / "latest").mkdir()
    found = [str(path.relative_to(models)) for path in find_bundles(models)]
    assert found == ["other/1", "tiny/1", "tiny/2", "tiny/10"]


def test_the_highest_version_answers_unless_another_is_asked_for(repository: Repository) -> None:
    assert resolve(repository, ModelSelector(name="tiny")).identity.version == 10
    assert resolve(repository, ModelSelector(name="tiny", version=2)).identity.version == 2


def test_a_digest_chooses_the_version_that_has_it(repository: Repository) -> None:
    first = resolve(repository, ModelSelector(name="tiny", version=1)).identity
    assert first.digest != resolve(repository, ModelSelector(name="tiny")).identity.digest
    assert resolve(repository, ModelSelector(name="tiny", digest=first.digest)).identity == first
    with pytest.raises(PreconditionError, match=f"this server has 2: (?!{first.digest})"):
        resolve(repository, ModelSelector(name="tiny", version=2, digest=first.digest))
    with pytest.raises(PreconditionError, match="no version with the digest 0000"):
        resolve(repository, ModelSelector(name="tiny", digest="0000"))


@pytest.mark.parametrize(
    ("selector", "error", "message"),
    [
        (ModelSelector(), InvalidRequestError, "name a model; this server has 'other', 'tiny'"),
        (ModelSelector(name="huge"), NotFoundError, "no model 'huge'; this server has 'other', 'tiny'"),
        (ModelSelector(name="../tiny"), NotFoundError, "no model '../tiny'"),
        (ModelSelector(name="tiny", version=0), NotFoundError, "no version 0; this server has 1, 2, 10"),
    ],
)
def test_what_is_not_there_is_named(
    repository: Repository, selector: ModelSelector, error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        resolve(repository, selector)
    assert message in str(caught.value)


def test_a_missing_folder_and_an_empty_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="is not a folder"):
        find_bundles(tmp_path / "nowhere")
    with pytest.raises(ArtifactError, match="holds no model; export one"):
        find_bundles(tmp_path)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path, make_bundle: Callable[..., Path]) -> None:
    elsewhere = make_bundle(tmp_path / "elsewhere")
    (tmp_path / "models" / "tiny").mkdir(parents=True)
    (tmp_path / "models" / "tiny" / "1").symlink_to(elsewhere)
    with pytest.raises(ArtifactError, match="leads out of"):
        find_bundles(tmp_path / "models")
