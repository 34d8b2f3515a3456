"""Small calls that travel together, over real gRPC."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from ganserve.client import (
    AsyncClient,
    CallCancelledError,
    Client,
    DeadlineError,
    InvalidRequestError,
    OverloadedError,
    RequestError,
    Samples,
)
from ganserve.client._transport.ask import Ask
from ganserve.client._transport.connections import Connections
from ganserve.v1.generator_pb2 import (
    GenerateManyRequest,
    GenerateManyResponse,
    GenerateRequest,
    GetModelRequest,
    ModelSelector,
    SampleAddress,
    SampleQuery,
)

from .scripted import UNAVAILABLE, Failure, Script, ScriptedServer, image_values

NUM_CALLS = 12
Outcomes = list[Samples | RequestError]


def seed_of(outcome: Samples | RequestError) -> int | None:
    return image_values(outcome.numpy())[0] if isinstance(outcome, Samples) else None


@pytest.fixture
def script() -> Script:
    return Script(max_samples=100)


@contextmanager
def held(script: Script) -> Iterator[None]:
    """The first two calls get no answer until the body has ended."""
    script.hold = threading.Event()
    try:
        yield
    finally:
        script.hold.set()


class Crowd:
    """Makes calls at once, call `i` for one sample of seed `i`: two are under way while the rest gathers."""

    def __init__(self, kind: str, server: ScriptedServer) -> None:
        self._kind = kind
        self._server = server

    def __call__(
        self, num_calls: int = NUM_CALLS, arguments: Callable[[int], dict[str, Any]] = lambda _: {}, **settings: Any
    ) -> Outcomes:
        settings |= {"model": "digits", "coalesce": True}
        if self._kind == "threads":
            return self._by_threads(num_calls, arguments, settings)
        return asyncio.run(self._by_tasks(num_calls, arguments, settings))

    def _by_threads(
        self, num_calls: int, arguments: Callable[[int], dict[str, Any]], settings: dict[str, Any]
    ) -> Outcomes:
        with Client(self._server.address, **settings) as client, ThreadPoolExecutor(num_calls) as pool:
            client.get_model()

            def call(seed: int) -> Samples | RequestError:
                try:
                    return client.generate(1, seed=seed, **arguments(seed))
                except RequestError as error:
                    return error

            with held(self._server.script):
                calls = [pool.submit(call, seed) for seed in range(num_calls)]
                while num_gathered(client, self._server) < num_calls - 2:
                    time.sleep(0.001)
            return [one.result() for one in calls]

    async def _by_tasks(
        self, num_calls: int, arguments: Callable[[int], dict[str, Any]], settings: dict[str, Any]
    ) -> Outcomes:
        async with AsyncClient(self._server.address, **settings) as client:
            await client.get_model()

            async def call(seed: int) -> Samples | RequestError:
                try:
                    return await client.generate(1, seed=seed, **arguments(seed))
                except RequestError as error:
                    return error

            with held(self._server.script):
                calls = [asyncio.create_task(call(seed)) for seed in range(num_calls)]
                while num_gathered(client, self._server) < num_calls - 2:  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.001)
            return await asyncio.gather(*calls)


def num_gathered(client: Client | AsyncClient, server: ScriptedServer) -> int:
    coalescer = client._connections.to(server.address)._coalescer
    assert coalescer is not None
    return len(coalescer._gathering)


@pytest.fixture(params=["threads", "asyncio"])
def crowd(request: pytest.FixtureRequest, server: ScriptedServer) -> Crowd:
    return Crowd(request.param, server)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is, calls gather until others return."""
    for module in ("coalescing", "async_coalescing"):
        monkeypatch.setattr(f"ganserve.client._transport.{module}.LONGEST_GATHER_S", 30)


def test_calls_gather_while_others_are_under_way_and_each_gets_its_own(crowd: Crowd, script: Script) -> None:
    assert [seed_of(outcome) for outcome in crowd()] == list(range(NUM_CALLS))
    assert sum(script.many) == NUM_CALLS - 2
    assert script.many == [NUM_CALLS - 2]
    assert len(script.asked(GenerateRequest)) == NUM_CALLS
    assert len(script.asked(GetModelRequest)) == 1


def fail_some(script: Script, failures: dict[int, Failure]) -> None:
    """Requests of some seeds fail."""
    generate = script.Generate

    def fail(request: GenerateRequest, context: Any) -> Any:
        reply = generate(request, context)
        if failure := failures.get(request.query.address.seed):
            failure.end(context)
        return reply

    script.Generate = fail  # type: ignore[method-assign]


def test_each_call_has_its_own_error(crowd: Crowd, script: Script) -> None:
    full = Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "queue is full", retry_after_s=0.25)
    wrong = Failure(grpc.StatusCode.INVALID_ARGUMENT, "no class 9", field="query.labels.one")
    fail_some(script, {5: full, 8: wrong})
    outcomes = crowd(retry_for_s=0)
    assert [seed_of(outcome) for outcome in outcomes] == [None if seed in (5, 8) else seed for seed in range(NUM_CALLS)]
    first, second = outcomes[5], outcomes[8]
    assert isinstance(first, OverloadedError)
    assert (str(first), first.retry_after_s) == ("queue is full", 0.25)
    assert isinstance(second, InvalidRequestError)
    assert (str(second), second.field) == ("no class 9", "query.labels.one")


def test_what_is_lost_together_is_asked_again_by_each(crowd: Crowd, script: Script) -> None:
    many = script.GenerateMany
    losses = [UNAVAILABLE, Failure(grpc.StatusCode.CANCELLED)]

    def lose(request: GenerateManyRequest, context: Any) -> GenerateManyResponse:
        if losses:
            losses.pop().end(context)
        return many(request, context)

    script.GenerateMany = lose  # type: ignore[method-assign]
    assert [seed_of(outcome) for outcome in crowd(timeout_s=20)] == list(range(NUM_CALLS))


def test_a_loss_that_lasts_is_told_as_for_a_single_call(crowd: Crowd, script: Script, server: ScriptedServer) -> None:
    def lose(request: GenerateManyRequest, context: Any) -> GenerateManyResponse:  # noqa: ARG001
        UNAVAILABLE.end(context)
        raise AssertionError

    script.GenerateMany = lose  # type: ignore[method-assign]
    outcomes = crowd(retry_for_s=0)
    script.generate.append(UNAVAILABLE)
    with Client(server.address, model="digits", retry_for_s=0) as single, pytest.raises(RequestError) as caught:
        single.generate(1)
    lost = [outcome for outcome in outcomes if isinstance(outcome, RequestError)]
    assert len(lost) == NUM_CALLS - 2
    assert {(type(error), str(error)) for error in lost} == {(type(caught.value), str(caught.value))}


def test_an_older_server_is_asked_one_by_one(crowd: Crowd, script: Script) -> None:
    script.knows_many = False
    assert [seed_of(outcome) for outcome in crowd()] == list(range(NUM_CALLS))
    assert script.many == [0]


@pytest.mark.parametrize("outcomes", [0, NUM_CALLS])
def test_a_reply_to_another_number_of_calls_is_refused(crowd: Crowd, script: Script, outcomes: int) -> None:
    many = script.GenerateMany

    def tear(request: GenerateManyRequest, context: Any) -> GenerateManyResponse:
        reply = many(request, context)
        return GenerateManyResponse(outcomes=[reply.outcomes[0]] * outcomes)

    script.GenerateMany = tear  # type: ignore[method-assign]
    torn = [outcome for outcome in crowd() if isinstance(outcome, RequestError)]
    assert len(torn) == NUM_CALLS - 2
    assert all(f"{outcomes} outcomes where {NUM_CALLS - 2} were asked for" in str(error) for error in torn)


def test_an_outcome_of_another_kind_is_an_error(crowd: Crowd, script: Script) -> None:
    many = script.GenerateMany

    def forget(request: GenerateManyRequest, context: Any) -> GenerateManyResponse:
        reply = many(request, context)
        reply.outcomes[3].Clear()
        return reply

    script.GenerateMany = forget  # type: ignore[method-assign]
    outcomes = crowd()
    assert sum(isinstance(outcome, RequestError) for outcome in outcomes) == 1


def test_more_than_fit_one_reply_travel_in_several(crowd: Crowd, script: Script) -> None:
    script.max_samples = 4
    assert [seed_of(outcome) for outcome in crowd()] == list(range(NUM_CALLS))
    assert sum(script.many) == NUM_CALLS - 2
    assert max(script.many) == 4


def test_a_larger_call_goes_by_itself(server: ScriptedServer, script: Script) -> None:
    with Client(server.address, model="digits", coalesce=True) as client, ThreadPoolExecutor(8) as pool:
        client.get_model()
        with held(script):
            calls = [pool.submit(client.generate, 30, seed=seed) for seed in range(8)]
            while len(script.asked(GenerateRequest)) < 8:
                time.sleep(0.001)
        assert [image_values(call.result().numpy())[0] for call in calls] == list(range(8))
    assert script.many == []


def test_each_call_has_its_own_deadline(crowd: Crowd, script: Script) -> None:
    """Call 7 is over long before the server answers those that it travels with."""
    many, late = script.GenerateMany, threading.Event()

    def wait(request: GenerateManyRequest, context: Any) -> GenerateManyResponse:
        late.wait(3)
        return many(request, context)

    script.GenerateMany = wait  # type: ignore[method-assign]
    outcomes = crowd(arguments=lambda seed: {"timeout_s": 2.0} if seed == 7 else {})
    assert [seed_of(outcome) for outcome in outcomes] == [None if seed == 7 else seed for seed in range(NUM_CALLS)]
    assert isinstance(outcomes[7], DeadlineError)
    assert "no answer within 2 s; give more time" in str(outcomes[7])


def test_a_call_under_way_that_is_stuck_does_not_hold_up_others(
    server: ScriptedServer, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("coalescing", "async_coalescing"):
        monkeypatch.setattr(f"ganserve.client._transport.{module}.LONGEST_GATHER_S", 0.05)
    generate, stuck = script.Generate, threading.Event()

    def hold(request: GenerateRequest, context: Any) -> Any:
        if request.query.address.seed < 2:
            stuck.wait(20)
        return generate(request, context)

    script.Generate = hold  # type: ignore[method-assign]

    async def by_tasks() -> None:
        async with AsyncClient(server.address, model="digits", coalesce=True) as client:
            await client.get_model()
            waiting = [asyncio.create_task(client.generate(1, seed=seed)) for seed in (0, 1)]
            await asyncio.sleep(0)
            found = await asyncio.gather(*(client.generate(1, seed=seed, timeout_s=15) for seed in (2, 3, 4)))
            assert [seed_of(one) for one in found] == [2, 3, 4]
            stuck.set()
            await asyncio.gather(*waiting)

    with Client(server.address, model="digits", coalesce=True) as client, ThreadPoolExecutor(5) as pool:
        client.get_model()
        waiting = [pool.submit(client.generate, 1, seed=seed) for seed in (0, 1)]
        others = [pool.submit(client.generate, 1, seed=seed, timeout_s=15) for seed in (2, 3, 4)]
        assert [seed_of(one.result()) for one in others] == [2, 3, 4]
        stuck.set()
        assert [seed_of(one.result()) for one in waiting] == [0, 1]
    stuck.clear()
    asyncio.run(by_tasks())


def test_a_task_that_is_cancelled_leaves_the_others_alone(server: ScriptedServer, script: Script) -> None:
    async def story() -> None:
        async with AsyncClient(server.address, model="digits", coalesce=True) as client:
            await client.get_model()
            with held(script):
                tasks = [asyncio.create_task(client.generate(1, seed=seed)) for seed in range(6)]
                await asyncio.sleep(0.05)
                for cancelled in (tasks[0], tasks[4]):
                    cancelled.cancel()
                await asyncio.sleep(0.05)
            found = await asyncio.gather(*tasks, return_exceptions=True)
            assert [isinstance(one, asyncio.CancelledError) for one in found] == [True] + [False] * 3 + [True, False]
            assert len((await client.generate(1, seed=1)).numpy()) == 1

    asyncio.run(story())


def test_closing_ends_those_that_gather_too(server: ScriptedServer, script: Script) -> None:
    client = Client(server.address, model="digits", coalesce=True)
    client.get_model()
    with held(script), ThreadPoolExecutor(6) as pool:
        calls = [pool.submit(client.generate, 1, seed=seed) for seed in range(6)]
        while len(script.asked(GenerateRequest)) < 2:
            time.sleep(0.001)
        client.close()
        for call in calls:
            with pytest.raises((CallCancelledError, RuntimeError), match="closed"):
                call.result(10)


def test_closing_ends_tasks_that_gather_too(server: ScriptedServer, script: Script) -> None:
    async def story() -> None:
        client = AsyncClient(server.address, model="digits", coalesce=True)
        await client.get_model()
        with held(script):
            tasks = [asyncio.create_task(client.generate(1, seed=seed)) for seed in range(6)]
            await asyncio.sleep(0.1)
            await client.close()
            found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(one) for one in found] == [CallCancelledError] * 6

    asyncio.run(story())


def test_many_threads_and_many_calls(server: ScriptedServer, script: Script) -> None:
    with Client(server.address, model="digits", coalesce=True) as client, ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda seed: seed_of(client.generate(1, seed=seed)), range(250)))
    assert found == list(range(250))
    assert sum(script.many) > 0


def test_a_call_that_travels_with_others_is_a_future_like_those_of_grpc(server: ScriptedServer, script: Script) -> None:
    connections = Connections(coalesce=True)
    query = SampleQuery(model=ModelSelector(name="digits"), address=SampleAddress(seed=7, count=1))
    ask = Ask("Generate", GenerateRequest(query=query), str, share=0.01)
    script.hold = threading.Event()
    calls = [connections.to(server.address).ask(ask, left_s) for left_s in (10.0, 10.0, 0.05, 10.0, None)]
    late, taken_back, patient = calls[2:]
    ended = threading.Event()
    late.add_done_callback(lambda _: ended.set())
    assert ended.wait(10)  # although nobody waits for its result
    error = late.exception()
    assert isinstance(error, grpc.RpcError)
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert taken_back.cancel()
    with pytest.raises(grpc.FutureCancelledError):
        taken_back.result()
    with pytest.raises(grpc.FutureTimeoutError):
        patient.result(timeout=0.01)
    with pytest.raises(grpc.FutureTimeoutError):
        patient.exception(timeout=0.01)
    script.hold.set()
    for call in (*calls[:2], patient):
        assert call.result().batch.seed == 7
    connections.close()
