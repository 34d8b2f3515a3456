"""Whether a server has room again that others held."""

from __future__ import annotations

import time
from typing import Final

from ganserve.v1.generator_pb2 import GenerateRequest, ModelSelector, SampleAddress, SampleQuery
from ganserve.v1.generator_pb2_grpc import GeneratorServiceStub

ENDLESS: Final = SampleQuery(model=ModelSelector(name="digits"), address=SampleAddress(seed=1, count=2**40))


def wait_for_room(stub: GeneratorServiceStub) -> None:
    """Until a server of `--max-reply-mib 1` has noticed that callers left: all of the budget can be had again."""
    query = SampleQuery(model=ModelSelector(name="digits"), address=SampleAddress(seed=1, count=5000))
    end_s = time.monotonic() + 60
    while time.monotonic() < end_s:
        calls = [stub.Generate.future(GenerateRequest(query=query), timeout=30) for _ in range(3)]
        if all(call.exception() is None for call in calls):
            return
        time.sleep(0.1)  # so that streams have their turn of the replies
    raise AssertionError(f"the server never gave the room back: {[call.exception() for call in calls]}")
