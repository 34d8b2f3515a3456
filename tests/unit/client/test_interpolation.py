"""Samples on the way from one address to another."""

from __future__ import annotations

import hashlib
import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganserve.client import InvalidRequestError
from ganserve.client._queries.interpolation import interpolated_latents
from ganserve.contract.interpolation import slerp
from ganserve.contract.latents import sample_latents
from ganserve.contract.tensors import unpack_latents
from ganserve.v1.generator_pb2 import GenerateRequest
from ganserve.v1.model_pb2 import ModelCard

from .conftest import Connect
from .scripted import LATENT_DIM, Script, ScriptedServer

START, STOP = (7, 3), (8, 2**60)


def between(n: int = 5, card: ModelCard | None = None, **options: Any) -> Any:
    return interpolated_latents(
        card or ModelCard(latent_dim=128),
        START,
        STOP,
        n,
        **{"labels": None, "truncation": None, "spread": None, **options},
    )


def angles(vectors: Any) -> list[float]:
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return [math.acos(min(1.0, a @ b)) for a, b in itertools.pairwise(units)]


@pytest.mark.parametrize(("truncation", "spread"), [(None, None), (0.7, None), (0.7, 1.3)])
def test_both_ends_are_the_addresses_own(truncation: float | None, spread: float | None) -> None:
    latents = between(9, truncation=truncation, spread=spread)
    assert (latents.dtype, latents.shape) == (np.float32, (9, 128))
    for place, (seed, index) in ((0, START), (-1, STOP)):
        np.testing.assert_array_equal(latents[place], sample_latents(seed, index, 1, 128, truncation, spread)[0])


def test_steps_turn_by_equal_angles_at_lengths_in_between() -> None:
    latents = between(9).astype(np.float64)
    steps = angles(latents)
    assert max(steps) - min(steps) < 1e-6
    lengths = np.linalg.norm(latents, axis=1)
    np.testing.assert_allclose(lengths, np.linspace(lengths[0], lengths[-1], 9), rtol=1e-6)


def test_the_latents_are_the_same_on_every_machine() -> None:
    digest = hashlib.sha256(between(16).astype("<f4").tobytes()).hexdigest()
    assert digest == "63388555a8d4adbac41ff9f8d87aca8903766de2707dcc2e0edd514ffeb1be84"


@given(st.integers(2, 40), st.floats(-0.999, 0.999), st.floats(0.1, 10))
def test_slerp_is_the_formula_on_unit_vectors(n: int, cosine: float, stretch: float) -> None:
    a = np.array([1.0, 0.0, 0.0])
    b = np.array([cosine, math.sqrt(1 - cosine**2), 0.0])
    angle = math.acos(cosine)
    steps = np.linspace(0, 1, n)[:, None]
    expected = (np.sin((1 - steps) * angle) * a + np.sin(steps * angle) * b) / math.sin(angle)
    np.testing.assert_allclose(slerp(stretch * a, stretch * b, n), stretch * expected, atol=1e-6)


@pytest.mark.parametrize("distance", [0.0, 1e-300, 1e-16, 1e-12, 1e-7])
def test_vectors_that_are_nearly_parallel(distance: float) -> None:
    start = np.arange(1.0, 9.0)
    stop = 2 * (start + distance * np.ones(8))
    np.testing.assert_allclose(slerp(start, stop, 5), np.linspace(start, stop, 5), rtol=1e-6)


@pytest.mark.parametrize("distance", [0.0, 1e-16, 1e-12, 1e-7])
def test_vectors_that_are_nearly_opposite(distance: float) -> None:
    start = np.arange(1.0, 9.0)
    vectors = slerp(start, -(start + distance * np.ones(8)), 7)
    np.testing.assert_allclose(angles(vectors), [math.pi / 6] * 6, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), np.linalg.norm(start), rtol=1e-6)


@pytest.mark.parametrize(("start", "stop"), [([2.0], [-1.0]), ([1.0], [3.0])])
def test_on_a_line_the_way_is_straight(start: list[float], stop: list[float]) -> None:
    np.testing.assert_allclose(slerp(np.array(start), np.array(stop), 4)[:, 0], np.linspace(start[0], stop[0], 4))


def test_a_client_sends_the_latents(connect: Connect, server: ScriptedServer, script: Script) -> None:
    script.max_samples = 100
    samples = connect(server.address).interpolate(START, STOP, 25, labels="one", truncation=1.5, spread=1.25)
    (request,) = script.asked(GenerateRequest)
    np.testing.assert_array_equal(
        unpack_latents(request.query.latents, LATENT_DIM),
        between(25, script.served().card, labels="one", truncation=1.5, spread=1.25),
    )
    assert samples.class_names is not None
    assert samples.class_names.tolist() == ["one"] * 25
    assert samples.seed is None


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"n": 1, "labels": 0}, "n is 1; it must be at least 2"),
        ({"labels": None}, "conditional; give labels, one class for all images: 'zero', 'one', 'two'"),
        ({"labels": "balanced"}, "all images of an interpolation are of one class"),
        ({"labels": [0, 1]}, "all images of an interpolation are of one class"),
        ({"start": 3, "labels": 0}, r"start is 3; give a seed and an index, such as \(7, 3\)"),
        ({"stop": (1, 2, 3), "labels": 0}, r"stop is \(1, 2, 3\)"),
        ({"start": (-1, 2), "labels": 0}, "the seed of start is -1"),
        ({"stop": (1, 2.5), "labels": 0}, "the index of stop is 2.5"),
        ({"truncation": -1, "labels": 0}, "truncation is -1"),
        ({"spread": 0, "labels": 0}, "spread is 0"),
    ],
)
def test_what_cannot_be_is_refused(
    connect: Connect, server: ScriptedServer, script: Script, arguments: dict[str, Any], fault: str
) -> None:
    with pytest.raises(InvalidRequestError, match=fault):
        connect(server.address).interpolate(**{"start": START, "stop": STOP, "n": 4, **arguments})
    assert not script.asked(GenerateRequest)


def test_a_generator_without_classes_takes_none(connect: Connect, server: ScriptedServer, script: Script) -> None:
    script.class_names = ()
    assert connect(server.address).interpolate(START, STOP, 3).labels is None


def test_a_class_in_a_list_is_one_class(connect: Connect, server: ScriptedServer) -> None:
    samples = connect(server.address).interpolate(START, STOP, 3, labels=["two"])
    assert samples.class_names is not None
    assert samples.class_names.tolist() == ["two"] * 3
