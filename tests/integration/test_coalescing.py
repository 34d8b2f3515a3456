"""Calls of many threads that travel together bring the samples that each would bring by itself."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ganserve.client import Client, NotFoundError, RequestError, Samples

from ..servers import ServerProcess


def test_calls_that_travel_together_bring_what_they_would_bring_alone(server: ServerProcess) -> None:
    with (
        Client(server.address, model="digits", coalesce=True) as together,
        Client(server.address, model="digits") as alone,
        ThreadPoolExecutor(32) as pool,
    ):

        def ask(seed: int) -> Samples:
            form = "png" if seed % 3 == 0 else "raw"
            return together.generate(1 + seed % 4, seed=seed, labels="uniform", spread=1.2, format=form)  # type: ignore[arg-type]

        for seed, samples in enumerate(pool.map(ask, range(300))):
            expected = alone.generate(1 + seed % 4, seed=seed, labels="uniform", spread=1.2)
            np.testing.assert_array_equal(samples.numpy(), expected.numpy())
            np.testing.assert_array_equal(samples.labels, expected.labels)


def test_those_that_are_refused_leave_the_others_alone(server: ServerProcess) -> None:
    with Client(server.address, model="digits", coalesce=True) as client, ThreadPoolExecutor(32) as pool:

        def ask(seed: int) -> str:
            try:
                return str(len(client.generate(1, seed=seed, labels="cat" if seed % 5 == 0 else None)))
            except RequestError as error:
                return f"{type(error).__name__}: {error.field}"

        found = list(pool.map(ask, range(200)))
    assert found == ["InvalidRequestError: query.labels.one" if seed % 5 == 0 else "1" for seed in range(200)]


def test_a_model_that_is_not_there(server: ServerProcess) -> None:
    with Client(server.address, model="cats", coalesce=True) as client, ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(client.generate, 1) for _ in range(8)]
        assert all(isinstance(call.exception(), NotFoundError) for call in calls)
