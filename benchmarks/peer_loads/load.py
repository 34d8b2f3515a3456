"""Callers that ask again as soon as they are answered. Runs as a process of its own and prints its figures as JSON.

    python -m peer_loads.load '{"form": "threads", "port": 50051, …}'

Requests are made beforehand. Replies are not decoded, but one that is an error, or not as long as its images, ends it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from dataclasses import asdict, dataclass

import numpy as np

from .connections import Connection, connected
from .errors import PeerError
from .forms import FORMS, Rows

MAX_DISTINCT = 256
MAX_BYTES_BESIDE_AN_IMAGE = 512


@dataclass(frozen=True, kw_only=True)
class Load:
    """Callers and what each asks for.

    Attributes:
        form: name of the form that the server speaks.
        warm_up_s: of seconds that do not count, before those that do.
    """

    form: str
    port: int
    num_callers: int
    num_images: int
    latent_dim: int
    image_bytes: int
    seconds: float
    warm_up_s: float


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What callers saw."""

    images_per_s: float
    p50_ms: float
    p99_ms: float


async def call(load: Load) -> Figures:
    """Calls for as long as the load says. Of a call that began before or ended after that, the part within counts.

    Raises:
        PeerError: a reply was an error, or too short or long for its images.
    """
    form = FORMS[load.form]
    distinct = range(0, min(MAX_DISTINCT, 4096 // load.num_images) * load.num_images, load.num_images)
    requests = [form.request(Rows(first, load.num_images, load.latent_dim)) for first in distinct]
    least_bytes = load.num_images * load.image_bytes
    most_bytes = least_bytes + load.num_images * MAX_BYTES_BESIDE_AN_IMAGE
    num_calls, waits_s = 0.0, list[float]()
    start_s = time.perf_counter() + load.warm_up_s
    end_s = start_s + load.seconds

    async def caller(connection: Connection, number: int) -> None:
        nonlocal num_calls
        now_s = time.perf_counter()
        for request in itertools.islice(itertools.cycle(requests), number, None):
            sent_s = now_s
            reply = await connection.ask(request)
            now_s = time.perf_counter()
            if not least_bytes <= len(reply) <= most_bytes:
                raise PeerError(f"a reply of {len(reply):,} bytes for images of {least_bytes:,}")
            if now_s >= start_s:
                num_calls += (min(now_s, end_s) - max(sent_s, start_s)) / (now_s - sent_s)
                waits_s.append(now_s - sent_s)
            if now_s >= end_s:
                return

    try:
        async with connected(form, load.port, load.num_callers) as connections, asyncio.TaskGroup() as group:
            for number, connection in enumerate(connections):
                group.create_task(caller(connection, number))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return Figures(
        images_per_s=num_calls * load.num_images / load.seconds,
        p50_ms=float(np.percentile(waits_s, 50)) * 1e3,
        p99_ms=float(np.percentile(waits_s, 99)) * 1e3,
    )


def main() -> None:
    import uvloop

    try:
        figures = uvloop.run(call(Load(**json.loads(sys.argv[1]))))
    except PeerError as error:
        sys.exit(str(error))
    print(json.dumps(asdict(figures)))


if __name__ == "__main__":
    main()
