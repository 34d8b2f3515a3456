"""A web service that shows samples: asyncio alone, and an AsyncClient that all its requests share.

    ganserve serve --models demo/models
    python examples/service.py --model digits
    curl -o grid.png 'http://127.0.0.1:8000/samples?n=16&seed=7'

`GET /samples?n=16&seed=7&labels=balanced` answers with a PNG of a grid, and `GET /health` with the model's name.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import signal
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from ganserve.client import AsyncClient, InvalidRequestError, OverloadedError, RequestError

MAX_SAMPLES = 256
REQUEST_TIMEOUT_S = 10


class Service:
    """Answers requests, each from one call of the client."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request of one connection."""
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), REQUEST_TIMEOUT_S)
            method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
            status, kind, body = await self._answer(method, target)
            writer.write(
                f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {kind}\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
                + body
            )
            await writer.drain()
        except (TimeoutError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass  # nobody who speaks HTTP
        finally:
            writer.close()

    async def _answer(self, method: str, target: str) -> tuple[HTTPStatus, str, bytes]:
        address = urlsplit(target)
        if method != "GET" or address.path not in ("/samples", "/health"):
            return HTTPStatus.NOT_FOUND, "text/plain", b"there is GET /samples and GET /health\n"
        try:
            if address.path == "/health":
                model = await self._client.get_model(timeout_s=REQUEST_TIMEOUT_S)
                return HTTPStatus.OK, "text/plain", f"{model.name}:{model.version}\n".encode()
            return HTTPStatus.OK, "image/png", await self._grid(parse_qs(address.query))
        except (InvalidRequestError, ValueError) as error:
            return HTTPStatus.BAD_REQUEST, "text/plain", f"{error}\n".encode()
        except OverloadedError as error:
            return HTTPStatus.TOO_MANY_REQUESTS, "text/plain", f"{error}\n".encode()
        except RequestError as error:
            return HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", f"{error}\n".encode()

    async def _grid(self, query: dict[str, list[str]]) -> bytes:
        """A PNG with all samples that are asked for. Raises ValueError or RequestError."""
        count = int(query.get("n", ["16"])[0])
        if count > MAX_SAMPLES:
            raise ValueError(f"n is {count}; this service gives at most {MAX_SAMPLES} samples at once")
        seed = int(query["seed"][0]) if "seed" in query else None
        labels = query["labels"][0] if "labels" in query else None
        samples = await self._client.generate(count, seed=seed, labels=labels, timeout_s=REQUEST_TIMEOUT_S)
        picture = io.BytesIO()
        samples.grid().save(picture, "PNG")
        return picture.getvalue()


async def serve(server: str, model: str, port: int) -> None:
    """Until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncClient(server, model=model) as client:
        listener = await asyncio.start_server(Service(client).handle, "127.0.0.1", port)
        async with listener:
            print(f"listening on http://127.0.0.1:{listener.sockets[0].getsockname()[1]}", flush=True)
            await stop.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--server", default="127.0.0.1:50051", help="address of a ganserve server")
    parser.add_argument("--model", required=True, help="name of its model")
    parser.add_argument("--port", type=int, default=8000, help="where to listen; 0 takes a free one")
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.server, arguments.model, arguments.port))


if __name__ == "__main__":
    main()
