"""Asks a server with tritonclient, in its three ways: python triton_client.py ADDRESS; prints SHA-256 of the images."""

from __future__ import annotations

import asyncio
import hashlib
import queue
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import tritonclient.grpc as blocking
import tritonclient.grpc.aio as asyncio_client
from tritonclient.utils import InferenceServerException

ADDRESS = sys.argv[1]
SAMPLES: dict[str, Any] = {"model_name": "digits", "inputs": [], "parameters": {"seed": 7, "count": 3}}


def main() -> None:
    with blocking.InferenceServerClient(ADDRESS) as client:
        ask(client)
        stream(client)
    asyncio.run(ask_from_asyncio())


def ask(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert [client.is_model_ready(name) for name in ("digits", "faces")] == [True, False]
    assert client.get_server_metadata().name == "ganserve"
    metadata = client.get_model_metadata("digits", as_json=True)
    config = client.get_model_config("digits", as_json=True)["config"]
    assert [tensor["shape"] for tensor in metadata["inputs"]] == [["-1", *i["dims"]] for i in config["input"]]
    assert [model.state for model in client.get_model_repository_index().models] == ["READY"] * 2
    tell(client.infer(**SAMPLES))

    latents = np.zeros((4, int(config["input"][0]["dims"][0])), np.float32)
    labels = np.arange(4).reshape(4, 1)
    inputs = [
        blocking.InferInput("latents", latents.shape, "FP32"),
        blocking.InferInput("labels", labels.shape, "INT64"),
    ]
    inputs[0].set_data_from_numpy(latents)
    inputs[1].set_data_from_numpy(labels)
    reply = client.infer("digits", inputs, outputs=[blocking.InferRequestedOutput("labels")], priority=2)
    assert reply.as_numpy("labels").tolist() == labels.tolist()
    assert client.get_inference_statistics("digits").model_stats[0].inference_count >= 7

    wrong: tuple[Callable[[], object], ...] = (
        lambda: client.load_model("digits"),
        lambda: client.infer("faces", []),
        lambda: client.infer("digits", inputs[:1]),
    )
    for call in wrong:
        assert "\n" not in refusal(call)


def refusal(call: Callable[[], object]) -> str:
    try:
        call()
    except InferenceServerException as error:
        return str(error.message())
    raise AssertionError("a call that cannot be answered was")


def stream(client: Any) -> None:
    replies: queue.Queue[tuple[Any, Exception | None]] = queue.Queue()
    client.start_stream(callback=lambda result, error: replies.put((result, error)))
    client.async_stream_infer(**SAMPLES, request_id="few", enable_empty_final_response=True)
    many = SAMPLES | {"parameters": {"seed": 7, "count": 100_000}}
    client.async_stream_infer(**many, request_id="many")
    client.async_stream_infer(**SAMPLES | {"parameters": {"sead": 7}}, request_id="wrong")
    result, _ = replies.get(timeout=60)
    tell(result)
    num_samples, is_last = 0, False
    while not is_last:
        result, error = replies.get(timeout=60)
        assert error is None, error
        num_samples += len(result.as_numpy("images"))
        is_last = result.get_response().parameters["triton_final_response"].bool_param
    assert num_samples == 100_000
    _, error = replies.get(timeout=60)
    assert "there is no parameter 'sead'" in str(error), error
    client.stop_stream()


async def ask_from_asyncio() -> None:
    async def requests() -> AsyncIterator[dict[str, Any]]:
        yield SAMPLES

    async with asyncio_client.InferenceServerClient(ADDRESS) as client:
        tell(await client.infer(**SAMPLES))
        async for result, error in client.stream_infer(requests()):
            assert error is None, error
            tell(result)


def tell(result: Any) -> None:
    print(hashlib.sha256(result.as_numpy("images").tobytes()).hexdigest())


main()
