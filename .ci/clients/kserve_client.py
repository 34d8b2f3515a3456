"""Asks a server with KServe's Python client: python kserve_client.py ADDRESS; prints SHA-256 of the images."""

from __future__ import annotations

import asyncio
import hashlib
import sys

from kserve import InferenceGRPCClient, InferRequest


async def main() -> None:
    async with InferenceGRPCClient(sys.argv[1]) as client:
        if not (await client.is_server_ready() and await client.is_model_ready("digits")):
            sys.exit("kserve: the server or the model is not ready")
        request = InferRequest(model_name="digits", infer_inputs=[], parameters={"seed": 7, "count": 3})
        reply = await client.infer(request)
        images, _ = reply.outputs
        print(hashlib.sha256(images.as_numpy().tobytes()).hexdigest())


asyncio.run(main())
