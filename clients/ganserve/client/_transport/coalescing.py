"""Small calls of one client that travel together, as one GenerateMany call.

The first call goes at once. Those that come while others are under way gather, and leave together when one of those
returns; see `_gathering`. Each call has its own reply, error and deadline: to whoever waits for one, it is a call like
any other. Where all that travel together are lost, each is asked again by itself, as far as its own deadline allows.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import contextmanager
from typing import Any, Final

import grpc

from ganserve.v1.generator_pb2 import GenerateManyRequest, GenerateRequest, GenerateResponse
from ganserve.v1.generator_pb2_grpc import GeneratorServiceStub

from .errors import EndedCall, local_deadline
from .gathering import LONGEST_GATHER_S, Gathering, Passenger
from .joint_call import Answer, answers, group_left_s, group_request, is_unknown
from .watchdog import Watch, begin_watch, end_watch


class Coalescer:
    """For the threads that share one channel."""

    def __init__(self, stub: GeneratorServiceStub) -> None:
        self._stub = stub
        self._lock = threading.Lock()
        self._gathering: Gathering[SharedCall] = Gathering()
        self._hurry: Watch | None = None

    def begin(self, passenger: Passenger) -> SharedCall:
        """Begins a call, now or when others return."""
        call = SharedCall(passenger)
        with self._lock:
            self._gathering.add(call)
        self._depart()
        return call

    def _depart(self, *, hurry: bool = False) -> None:
        """Sends what may leave now; in a hurry, what gathered first leaves in any case."""
        while True:
            with self._lock:
                group = self._gathering.next_group(hurry=hurry)
                self._watch_those_who_gather()
            if not group:
                return
            hurry = False
            self._send(group)

    def _watch_those_who_gather(self) -> None:
        """One watch for all of them: no call has gathered for longer than it runs."""
        if not len(self._gathering):
            end_watch(self._hurry)
            self._hurry = None
        elif self._hurry is None:
            self._hurry = begin_watch(LONGEST_GATHER_S, self._depart_in_a_hurry)

    def _depart_in_a_hurry(self) -> None:
        with self._lock:
            self._hurry = None
        self._depart(hurry=True)

    def _send(self, group: list[SharedCall]) -> None:
        passengers = [call.passenger for call in group]
        request, left_s = group_request(passengers), group_left_s(passengers)
        method: Any = self._stub.GenerateMany if isinstance(request, GenerateManyRequest) else self._stub.Generate
        trip = _Trip(group)
        try:
            trip.rpc = method.future(request, timeout=left_s, metadata=passengers[-1].metadata)
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
            found = answers(rpc.result(), len(trip.group))
        except (grpc.RpcError, grpc.FutureCancelledError) as error:
            if is_unknown(request, error):
                self._go_singly(trip)
                return
            found = [EndedCall.of(error) for _ in trip.group]
        self._arrive(trip, found)

    def _arrive(self, trip: _Trip, found: Sequence[Answer]) -> None:
        with self._lock:
            self._gathering.end_one()
        self._depart()
        for call, answer in zip(trip.group, found, strict=True):
            call.settle(answer)

    def _go_singly(self, trip: _Trip) -> None:
        """The server is an older one: from now on no calls travel together."""
        with self._lock:
            self._gathering.end_one()
            self._gathering.is_over = True
            for call in trip.group:
                self._gathering.add(call)
        self._depart()


class SharedCall(Future[GenerateResponse]):
    """One call of several that travel together, with the methods of a future of gRPC.

    Attributes:
        passenger: what is sent of it.
        trip: those that it travels with, once it has left.
    """

    def __init__(self, passenger: Passenger) -> None:
        super().__init__()
        self.passenger = passenger
        self.trip: _Trip | None = None
        watch = begin_watch(passenger.left_s(), lambda: self.settle(local_deadline()))
        self.add_done_callback(lambda _: end_watch(watch))

    def result(self, timeout: float | None = None) -> GenerateResponse:
        """The reply. Raises grpc.RpcError, or what a future of gRPC raises that is late or was cancelled."""
        with _errors_of_grpc():
            return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What `result` would raise."""
        with _errors_of_grpc():
            return super().exception(timeout)

    def cancel(self) -> bool:
        """Takes the call back. Those that travel with it go on."""
        cancelled = super().cancel()
        if cancelled and self.trip is not None:
            self.trip.end_if_unwanted()
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
        if self.trip is not None:
            self.trip.end_if_unwanted()


@contextmanager
def _errors_of_grpc() -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        raise grpc.FutureTimeoutError from None
    except CancelledError:
        raise grpc.FutureCancelledError from None


class _Trip:
    """Calls that are under way together."""

    def __init__(self, group: Sequence[SharedCall]) -> None:
        self.group = group
        self.rpc: Any = None

    def end_if_unwanted(self) -> None:
        """Cancels the RPC where nobody waits for any of its answers."""
        if all(call.done() for call in self.group):
            self.rpc.cancel()


_under_way: Final[set[_Trip]] = set()  # never emptied of a parent's in a forked child, which must not touch them
