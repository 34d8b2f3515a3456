"""Ray Serve: a replica a core and its batching, over HTTP."""

from __future__ import annotations

import asyncio
import os

import numpy as np
import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

from peer_servers.model import Model, arguments

MAX_REQUESTS = 64
MAX_WAIT_S = 0.001


class Generator:
    """Takes latents and gives images, both as bytes."""

    def __init__(self, path: str) -> None:
        self.model = Model(path, num_threads=1)

    async def __call__(self, request: Request) -> Response:
        return Response(await self.generate(await request.body()), media_type="application/octet-stream")

    @serve.batch(max_batch_size=MAX_REQUESTS, batch_wait_timeout_s=MAX_WAIT_S)
    async def generate(self, bodies: list[bytes]) -> list[bytes]:
        rows = [self.model.rows_of(body) for body in bodies]
        images = await asyncio.to_thread(self.model, np.concatenate(rows))
        return [part.tobytes() for part in np.split(images, np.cumsum([len(row) for row in rows])[:-1])]


def main() -> None:
    path, port = arguments()
    ray.init(include_dashboard=False, configure_logging=False, _node_ip_address="127.0.0.1")
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    deployment = serve.deployment(num_replicas=os.cpu_count() or 1, max_ongoing_requests=2 * MAX_REQUESTS)
    serve.run(deployment(Generator).bind(path), blocking=True)


if __name__ == "__main__":
    main()
