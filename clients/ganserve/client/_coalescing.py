"""Small calls of one client that travel together, as one GenerateMany call.

The first call goes at once. Those that come while others are under way gather, and leave together when one of those
returns; see `_gathering`. Each call has its own reply, error and deadline: to whoever waits for one, it is a call like
any other. Where all that travel together are lost, each is asked again by itself, as far as its own deadline allows.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future, InvalidStateError
from typing import TYPE_CHECKING, Any, Final

import grpc

from ganserve.contract.grpc_keys import STATUS_DETAILS_KEY
from ganserve.v1.generator_pb2 import GenerateManyRequest, GenerateRequest, GenerateResponse, Outcome
from ganserve.v1.generator_pb2_grpc import GeneratorServiceStub

from ._errors import LOCAL_DEADLINE, EndedCall
from ._gathering import LONGEST_GATHER_S, Gathering, Passenger, group_left_s, group_request

if TYPE_CHECKING:
    from ganserve.v1.generator_pb2_grpc import GeneratorServiceAsyncStub

_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}

Answer = GenerateResponse | EndedCall


class Coalescer:
    """For the threads that share one channel."""

    def __init__(self, stub: GeneratorServiceStub) -> None:
        self._stub = stub
        self._lock = threading.Lock()
        self._gathering: Gathering[SharedCall] = Gathering()

    def begin(self, passenger: Passenger) -> SharedCall:
        """Begins a call, now or when others return."""
        call = SharedCall(self, passenger)
        with self._lock:
            self._gathering.add(call)
        self.depart()
        return call

    def depart(self, *, hurry: bool = False) -> None:
        """Sends what may leave now; in a hurry, what gathered first leaves in any case."""
        while True:
            with self._lock:
                group = self._gathering.next_group(hurry=hurry)
            if not group:
                return
            hurry = False
            self._send(group)

    def _send(self, group: list[SharedCall]) -> None:
        passengers = [call.passenger for call in group]
        request, left_s = group_request(passengers), group_left_s(passengers)
        method: Any = self._stub.GenerateMany if isinstance(request, GenerateManyRequest) else self._stub.Generate
        trip = _Trip(group)
        try:
            trip.rpc = method.future(request, timeout=left_s)
        except Exception as error:  # noqa: BLE001 - whatever it is, such as a closed channel, all of them wait
            self._arrive(trip, [EndedCall.of(error) for _ in group])
            return
        _under_way.add(trip)
        for call in group:
            call.trip = trip
        trip.rpc.add_done_callback(lambda rpc: self._return(trip, request, rpc))

    def _return(self, trip: _Trip, request: GenerateRequest | GenerateManyRequest, rpc: Any) -> None:
        """In a thread of gRPC's own."""
        _under_way.discard(trip)
        try:
            answers = _answers(rpc.result(), len(trip.group))
        except (grpc.RpcError, grpc.FutureCancelledError) as error:
            if _is_unknown(request, error):
                self._go_singly(trip)
                return
            answers = [EndedCall.of(error) for _ in trip.group]
        self._arrive(trip, answers)

    def _arrive(self, trip: _Trip, answers: Sequence[Answer]) -> None:
        with self._lock:
            self._gathering.end_one()
        self.depart()
        for call, answer in zip(trip.group, answers, strict=True):
            call.settle(answer)

    def _go_singly(self, trip: _Trip) -> None:
        """The server is an older one: from now on no calls travel together."""
        with self._lock:
            self._gathering.end_one()
            self._gathering.is_over = True
            for call in trip.group:
                self._gathering.add(call)
        self.depart()


class SharedCall(Future[GenerateResponse]):
    """One call of several that travel together, with the methods of a future of gRPC.

    Attributes:
        passenger: what is sent of it.
        trip: those that it travels with, once it has left.
    """

    def __init__(self, coalescer: Coalescer, passenger: Passenger) -> None:
        super().__init__()
        self.passenger = passenger
        self.trip: _Trip | None = None
        self._coalescer = coalescer

    def result(self, timeout: float | None = None) -> GenerateResponse:  # noqa: ARG002 - as long as its deadline lets it
        """The reply. Raises grpc.RpcError."""
        left_s = self.passenger.left_s()
        try:
            if self.trip is None:
                try:
                    return super().result(LONGEST_GATHER_S if left_s is None else min(left_s, LONGEST_GATHER_S))
                except TimeoutError:
                    if self.trip is None:
                        self._coalescer.depart(hurry=True)
            return super().result(self.passenger.left_s())
        except TimeoutError:
            self.cancel()
            raise EndedCall(grpc.StatusCode.DEADLINE_EXCEEDED, LOCAL_DEADLINE) from None
        except CancelledError:
            raise grpc.FutureCancelledError from None

    def cancel(self) -> bool:
        """Takes the call back. Those that travel with it go on."""
        cancelled = super().cancel()
        if cancelled and self.trip is not None:
            self.trip.end_if_empty()
        return cancelled

    def settle(self, answer: Answer) -> None:
        """Hands the answer to whoever waits."""
        try:
            if isinstance(answer, EndedCall):
                self.set_exception(answer)
            else:
                self.set_result(answer)
        except InvalidStateError:  # nobody waits any more
            return


class _Trip:
    """Calls that are under way together."""

    def __init__(self, group: Sequence[SharedCall]) -> None:
        self.group = group
        self.rpc: Any = None

    def end_if_empty(self) -> None:
        """Cancels the RPC where nobody waits for any of its answers."""
        if all(call.done() for call in self.group):
            self.rpc.cancel()


_under_way: Final[set[_Trip]] = set()  # never emptied of a parent's in a forked child, which must not touch them


class AsyncCoalescer:
    """For the tasks of one event loop that share one channel."""

    def __init__(self, stub: GeneratorServiceAsyncStub) -> None:
        self._stub = stub
        self._gathering: Gathering[AsyncSharedCall] = Gathering()
        self._trips: set[asyncio.Task[None]] = set()
        self._hurry: asyncio.TimerHandle | None = None

    def begin(self, passenger: Passenger) -> asyncio.Future[GenerateResponse]:
        """Begins a call, now or when others return."""
        call = AsyncSharedCall(passenger)
        self._gathering.add(call)
        self._depart()
        return call.reply

    def _depart(self, *, hurry: bool = False) -> None:
        while group := self._gathering.next_group(hurry=hurry):
            hurry = False
            trip = asyncio.get_running_loop().create_task(self._travel(group))
            self._trips.add(trip)
            trip.add_done_callback(self._trips.discard)
        # One timer for those that gather: no call of them has gathered for longer than it runs.
        if not len(self._gathering):
            if self._hurry:
                self._hurry.cancel()
            self._hurry = None
        elif self._hurry is None:
            self._hurry = asyncio.get_running_loop().call_later(LONGEST_GATHER_S, self._depart_in_a_hurry)

    def _depart_in_a_hurry(self) -> None:
        self._hurry = None
        self._depart(hurry=True)

    async def _travel(self, group: list[AsyncSharedCall]) -> None:
        passengers = [call.passenger for call in group]
        request = group_request(passengers)
        method: Any = self._stub.GenerateMany if isinstance(request, GenerateManyRequest) else self._stub.Generate
        try:
            rpc = method(request, timeout=group_left_s(passengers))
            for call in group:
                call.end_where_unwanted(rpc, group)
            answers = _answers(await rpc, len(group))
        except (asyncio.CancelledError, grpc.aio.UsageError):  # the channel was closed, or nobody waits any more
            for call in group:
                call.reply.cancel()
            answers = []
        except grpc.RpcError as error:
            if _is_unknown(request, error):
                self._gathering.is_over = True
                for call in group:
                    self._gathering.add(call)
                answers = []
            else:
                answers = [EndedCall.of(error) for _ in group]
        self._gathering.end_one()
        self._depart()
        for call, answer in zip(group, answers, strict=False):
            call.settle(answer)


class AsyncSharedCall:
    """One call of several that travel together.

    Attributes:
        passenger: what is sent of it.
        reply: what is awaited.
    """

    def __init__(self, passenger: Passenger) -> None:
        loop = asyncio.get_running_loop()
        self.passenger = passenger
        self.reply: asyncio.Future[GenerateResponse] = loop.create_future()
        left_s = passenger.left_s()
        if left_s is not None:
            timer = loop.call_later(left_s, self.settle, EndedCall(grpc.StatusCode.DEADLINE_EXCEEDED, LOCAL_DEADLINE))
            self.reply.add_done_callback(lambda _: timer.cancel())

    def done(self) -> bool:
        """Whether nobody waits any more."""
        return self.reply.done()

    def end_where_unwanted(self, rpc: Any, group: Sequence[AsyncSharedCall]) -> None:
        """Cancels the RPC once nobody waits for any of its answers."""
        self.reply.add_done_callback(lambda _: rpc.cancel() if all(call.done() for call in group) else None)

    def settle(self, answer: Answer) -> None:
        """Hands the answer to whoever waits."""
        if self.reply.done():
            return
        if isinstance(answer, EndedCall):
            self.reply.set_exception(answer)
            self.reply.exception()  # a call that is taken back is not one whose error was overlooked
        else:
            self.reply.set_result(answer)


def _answers(reply: Any, num_calls: int) -> list[Answer]:
    """What each of the calls is answered with."""
    if isinstance(reply, GenerateResponse):
        return [reply]
    if len(reply.outcomes) != num_calls:
        torn = f"the reply holds {len(reply.outcomes)} outcomes where {num_calls} were asked for"
        return [EndedCall(grpc.StatusCode.INTERNAL, torn) for _ in range(num_calls)]
    return [_answer(outcome) for outcome in reply.outcomes]


def _answer(outcome: Outcome) -> Answer:
    if outcome.HasField("response"):
        return outcome.response
    refusal = outcome.refusal
    return EndedCall(
        _CODES.get(refusal.code or -1, grpc.StatusCode.UNKNOWN),
        refusal.message,
        ((STATUS_DETAILS_KEY, refusal.SerializeToString()),),
    )


def _is_unknown(request: object, error: Exception) -> bool:
    """Whether the server does not know GenerateMany."""
    code = getattr(error, "code", lambda: None)()
    return isinstance(request, GenerateManyRequest) and code is grpc.StatusCode.UNIMPLEMENTED
