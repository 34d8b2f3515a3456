"""Callers that ask again as soon as they are answered. Runs as a process of its own and prints its figures as JSON.

    python -m peer_loads.load '{"form": "threads", "port": 50051, …}'

Requests are made beforehand. Replies are not decoded, but one that is an error, or not as long as its images, ends it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass

from .connections import Connection, connected
from .errors import PeerError
from .forms import FORMS, Rows

MAX_DISTINCT = 256
LEAST_REPLIES = 2
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
    """Calls for as long as the load says, or until there are some replies.

    Raises:
        PeerError: a reply was an error, or too short or long for its images.
    """
    form = FORMS[load.form]
    distinct = range(0, min(MAX_DISTINCT, 4096 // load.num_images) * load.num_images, load.num_images)
    requests = [form.request(Rows(first, load.num_images, load.latent_dim)) for first in distinct]
    least_bytes = load.num_images * load.image_bytes
    most_bytes = least_bytes + load.num_images * MAX_BYTES_BESIDE_AN_IMAGE
    waits_s: list[float] = []
    start_s = time.perf_counter() + load.warm_up_s
    last_s = end_s = start_s + load.seconds

    async def caller(connection: Connection, number: int) -> None:
        nonlocal last_s
        sent_s = time.perf_counter()
        for request in itertools.islice(itertools.cycle(requests), number, None):
            reply = await connection.ask(request)
            now_s = time.perf_counter()
            if not least_bytes <= len(reply) <= most_bytes:
                raise PeerError(f"a reply of {len(reply):,} bytes for images of {least_bytes:,}")
            if now_s > end_s and len(waits_s) >= LEAST_REPLIES:
                return
            if now_s >= start_s:
                waits_s.append(now_s - sent_s)
                last_s = now_s
            sent_s = now_s

    try:
        async with connected(form, load.port, load.num_callers) as connections, asyncio.TaskGroup() as group:
            for number, connection in enumerate(connections):
                group.create_task(caller(connection, number))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    percentiles = statistics.quantiles(waits_s, n=100, method="inclusive")
    return Figures(
        images_per_s=len(waits_s) * load.num_images / (max(last_s, end_s) - start_s),
        p50_ms=percentiles[49] * 1e3,
        p99_ms=percentiles[98] * 1e3,
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
