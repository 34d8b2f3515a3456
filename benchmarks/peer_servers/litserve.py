"""LitServe: a worker process a core, its batching and its fast queue, over HTTP.

It reads a request's body as JSON and nothing else, so latents travel in base 64; images come back as they are.
"""

from __future__ import annotations

import base64
import os

import litserve
import numpy as np
from fastapi import Response

from peer_servers.model import Images, Latents, Model, arguments

MAX_REQUESTS = 64
MAX_WAIT_S = 0.001


class Generator(litserve.LitAPI):
    """Takes latents in base 64 and gives images."""

    def setup(self, device: str) -> None:
        self.model = Model(arguments()[0], num_threads=1)

    def decode_request(self, request: dict[str, str]) -> Latents:
        return self.model.rows_of(base64.b64decode(request["latents"]))

    def batch(self, inputs: list[Latents]) -> tuple[Latents, list[int]]:
        return np.concatenate(inputs), [len(rows) for rows in inputs]

    def predict(self, batch: tuple[Latents, list[int]]) -> list[Images]:
        latents, lengths = batch
        return np.split(self.model(latents), np.cumsum(lengths)[:-1])

    def unbatch(self, output: list[Images]) -> list[Images]:
        return output

    def encode_response(self, output: Images) -> Response:
        return Response(output.tobytes(), media_type="application/octet-stream")


def main() -> None:
    _, port = arguments()
    server = litserve.LitServer(
        Generator(max_batch_size=MAX_REQUESTS, batch_timeout=MAX_WAIT_S),
        accelerator="cpu",
        workers_per_device=os.cpu_count() or 1,
        fast_queue=True,
    )
    server.run(host="127.0.0.1", port=port, generate_client_file=False, access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
