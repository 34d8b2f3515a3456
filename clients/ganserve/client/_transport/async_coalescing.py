"""As `coalescing`, on an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import grpc

from ganserve.v1.generator_pb2 import GenerateManyRequest, GenerateResponse

from .errors import EndedCall, local_deadline
from .gathering import LONGEST_GATHER_S, Gathering, Passenger
from .joint_call import Answer, answers, group_left_s, group_request, is_unknown

if TYPE_CHECKING:
    from ganserve.v1.generator_pb2_grpc import GeneratorServiceAsyncStub


class AsyncCoalescer:
    """For the tasks of one event loop that share one channel."""

    def __init__(self, stub: GeneratorServiceAsyncStub) -> None:
        self._stub = stub
        self._gathering: Gathering[_SharedCall] = Gathering()
        self._trips: set[asyncio.Task[None]] = set()
        self._hurry: asyncio.TimerHandle | None = None

    def begin(self, passenger: Passenger) -> asyncio.Future[GenerateResponse]:
        """Begins a call, now or when others return."""
        call = _SharedCall(passenger)
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

    async def _travel(self, group: list[_SharedCall]) -> None:
        passengers = [call.passenger for call in group]
        request = group_request(passengers)
        method: Any = self._stub.GenerateMany if isinstance(request, GenerateManyRequest) else self._stub.Generate
        try:
            rpc = method(request, timeout=group_left_s(passengers), metadata=passengers[-1].metadata)
            for call in group:
                call.end_where_unwanted(rpc, group)
            found = answers(await rpc, len(group))
        except (asyncio.CancelledError, grpc.aio.UsageError):  # the channel was closed, or nobody waits any more
            for call in group:
                call.reply.cancel()
            found = []
        except grpc.RpcError as error:
            if is_unknown(request, error):
                self._gathering.is_over = True
                for call in group:
                    self._gathering.add(call)
                found = []
            else:
                found = [EndedCall.of(error) for _ in group]
        self._gathering.end_one()
        self._depart()
        for call, answer in zip(group, found, strict=False):
            call.settle(answer)


class _SharedCall:
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
            timer = loop.call_later(left_s, self.settle, local_deadline())
            self.reply.add_done_callback(lambda _: timer.cancel())

    def done(self) -> bool:
        """Whether nobody waits any more."""
        return self.reply.done()

    def end_where_unwanted(self, rpc: Any, group: Sequence[_SharedCall]) -> None:
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
