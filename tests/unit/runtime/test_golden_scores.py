"""A scorer serves once it has given again the numbers that its exporter recorded, and chooses where they are steady."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from ganserve.contract.errors import ArtifactError, InvalidRequestError, PreconditionError
from ganserve.contract.manifest import read_manifest, write_manifest
from ganserve.runtime.chain import Chain, Stages
from ganserve.runtime.lanes import Lanes
from ganserve.runtime.loader import LoadedModel, load_model
from ganserve.v1.bundle_pb2 import Parity
from ganserve.v1.generator_pb2 import BestOf, ModelSelector, SampleAddress, SampleQuery
from ganserve.v1.model_pb2 import Reproducibility

from ...scorers import make_scorer, mix_with_the_batch

QUERY = SampleQuery(
    address=SampleAddress(seed=1, count=3),
    best_of=BestOf(candidates=4, scorer=ModelSelector(name="tiny-classifier")),
)


@pytest.fixture
def bundle(tmp_path: Path, tiny_parity: Parity) -> Path:
    return make_scorer(tmp_path, tiny_parity)


def load(folder: Path, max_batch: int = 8) -> LoadedModel:
    with Lanes("cpu", 1) as lanes:
        return load_model(folder, lanes=lanes, max_batch=max_batch)


def record_other_scores(bundle: Path, factor: float) -> None:
    """Multiplies the recorded scores, with all digests made to agree."""
    manifest = read_manifest(bundle)
    manifest.golden.scores[:] = [score * factor for score in manifest.golden.scores]
    manifest.golden.sha256[:] = ["0" * 64 for _ in manifest.golden.sha256]
    write_manifest(manifest, bundle)


def test_a_scorer_gives_its_golden_scores_in_batches_of_every_size(bundle: Path) -> None:
    model = load(bundle)
    assert model.proof.reproducibility == model.reproducibility == Reproducibility.REPRODUCIBILITY_IDENTICAL
    assert model.proof.is_steady
    golden = read_manifest(bundle).golden
    assert len(golden.scores) == 4 * len(golden.sha256) == 256


def test_scores_of_a_rounding_apart_are_told_as_such(bundle: Path) -> None:
    record_other_scores(bundle, 1 + 1e-4)
    model = load(bundle)
    assert model.reproducibility == Reproducibility.REPRODUCIBILITY_WITHIN_ONE_LEVEL
    assert model.proof.is_steady


def test_other_scores_are_refused(bundle: Path) -> None:
    record_other_scores(bundle, 1 + 2e-3)
    with pytest.raises(ArtifactError, match="the model does not make its golden samples on cpu in a batch of"):
        load(bundle)


def test_fewer_scores_than_samples_are_refused(bundle: Path) -> None:
    manifest = read_manifest(bundle)
    del manifest.golden.scores[-1]
    write_manifest(manifest, bundle)
    with pytest.raises(ArtifactError, match="has 255 golden scores, and 64 samples of 4 each; export the model again"):
        load(bundle)


def test_what_depends_on_the_batch_scores_and_does_not_choose(
    tmp_path: Path, tiny_parity: Parity, make_bundle: Callable[..., Path]
) -> None:
    scorer = load(make_scorer(tmp_path, tiny_parity, change=mix_with_the_batch))
    assert not scorer.proof.is_steady
    with pytest.raises(PreconditionError, match="tiny-classifier depend on the batch on cpu, so the") as caught:
        Chain.open(QUERY, Stages(load(make_bundle(tmp_path)), scorer, []))
    assert caught.value.field == "query.best_of.scorer"


def test_of_what_depends_on_the_batch_nothing_is_chosen(
    bundle: Path, tmp_path: Path, make_bundle: Callable[..., Path]
) -> None:
    generator = load(make_bundle(tmp_path))
    generator = dataclasses.replace(generator, proof=dataclasses.replace(generator.proof, is_steady=False))
    with pytest.raises(PreconditionError, match="the images of tiny depend on the batch on cpu, so the") as caught:
        Chain.open(QUERY, Stages(generator, load(bundle), []))
    assert caught.value.field == "query.best_of"


def test_only_generators_have_something_to_choose_among(bundle: Path) -> None:
    scorer = load(bundle)
    with pytest.raises(InvalidRequestError) as caught:
        Chain.open(QUERY, Stages(scorer, scorer, []))
    assert caught.value.field == "query.images"
