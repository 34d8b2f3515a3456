"""Which version answers, with and without aliases, and whether it serves or not."""

from __future__ import annotations

from typing import Any, cast

import pytest

from ganserve.contract.errors import (
    InvalidRequestError,
    NotFoundError,
    PreconditionError,
    RequestError,
    UnavailableError,
)
from ganserve.serving.catalogue import Catalogue
from ganserve.serving.model import Model
from ganserve.v1.generator_pb2 import ModelSelector
from ganserve.v1.model_pb2 import ModelIdentity, ModelState

DIGESTS = {version: f"{version}" * 64 for version in (1, 2, 3)}


class Loaded:
    """What a catalogue looks at of a model."""

    def __init__(self, version: int, fault: str = "") -> None:
        self.identity = ModelIdentity(name="digits", version=version, digest=DIGESTS[version])
        self.fault = fault


def model(version: int) -> Model:
    return cast(Model, Loaded(version))


@pytest.fixture
def catalogue() -> Catalogue:
    """Versions 1 and 2 of `digits` serve; 3 was refused, and 4 is being loaded."""
    catalogue = Catalogue()
    for version in (1, 2):
        catalogue.add("digits", version).model = model(version)
    catalogue.add("digits", 3).refusal = "it is torn"
    catalogue.add("digits", 4).is_loading = True
    return catalogue


def version_of(catalogue: Catalogue, **selector: Any) -> int:
    found = catalogue.resolve(ModelSelector(name="digits", **selector), field="query.model")
    return found.identity.version


def test_the_highest_that_serves_answers_until_an_alias_stable_says_otherwise(catalogue: Catalogue) -> None:
    assert version_of(catalogue) == 2
    catalogue.aliases = {"digits": {"stable": 1, "canary": 2}}
    assert version_of(catalogue) == 1
    assert version_of(catalogue, version=2) == 2
    assert version_of(catalogue, alias="canary") == 2
    assert catalogue.aliases_of("digits", 1) == ["stable"]


def test_a_digest_is_had_from_whoever_has_it_though_the_alias_has_moved(catalogue: Catalogue) -> None:
    catalogue.aliases = {"digits": {"stable": 1}}
    assert version_of(catalogue, alias="stable", digest=DIGESTS[2]) == 2
    assert version_of(catalogue, digest=DIGESTS[2]) == 2
    catalogue.retired.append(model(3))
    assert version_of(catalogue, digest=DIGESTS[3]) == 3
    assert version_of(catalogue, version=3, digest=DIGESTS[3]) == 3


@pytest.mark.parametrize(
    ("selector", "error", "text", "field"),
    [
        ({"version": 1, "alias": "canary"}, InvalidRequestError, "are both given", "query.model.alias"),
        ({"alias": "beta"}, NotFoundError, "no alias 'beta' on this server; it has 'canary', 'gone'", ""),
        ({"alias": "gone"}, PreconditionError, "points to version 9, which is not served here", "query.model.alias"),
        ({"version": 9}, NotFoundError, "has no version 9; this server has 1, 2, 3, 4", ""),
        ({"version": 3}, PreconditionError, "digits:3 is not served here: it is torn", "query.model.name"),
        ({"alias": "canary"}, PreconditionError, "digits:3 is not served here: it is torn", "query.model.name"),
        ({"version": 4}, UnavailableError, "digits:4 is being loaded; try again shortly", ""),
        ({"digest": "0" * 64}, PreconditionError, "no version with the digest 0000", "query.model.digest"),
        ({"version": 1, "digest": DIGESTS[2]}, PreconditionError, "no version with the digest", "query.model.digest"),
    ],
)
def test_what_cannot_answer_is_told(
    catalogue: Catalogue, selector: dict[str, Any], error: type[RequestError], text: str, field: str
) -> None:
    catalogue.aliases = {"digits": {"canary": 3, "gone": 9}}
    with pytest.raises(error) as caught:
        version_of(catalogue, **selector)
    assert text in str(caught.value)
    assert caught.value.field == field


def test_an_entry_tells_its_state_and_why(catalogue: Catalogue) -> None:
    states = [(entry.state, entry.reason) for entry in catalogue]
    assert states == [
        (ModelState.MODEL_STATE_SERVING, ""),
        (ModelState.MODEL_STATE_SERVING, ""),
        (ModelState.MODEL_STATE_UNAVAILABLE, "it is torn"),
        (ModelState.MODEL_STATE_LOADING, ""),
    ]
    first = next(iter(catalogue))
    first.refusal = "it is empty"
    assert (first.state, first.reason) == (ModelState.MODEL_STATE_SERVING, "a new bundle was refused: it is empty")
    assert first.model is not None
    first.model.fault = "digits:1 fails to run"
    assert first.state == ModelState.MODEL_STATE_UNAVAILABLE
    assert first.reason == "digits:1 fails to run; a new bundle was refused: it is empty"
