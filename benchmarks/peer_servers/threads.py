"""The server that people write by hand: gRPC's threads, each of which runs the model for its call."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from peer_servers.model import Model, arguments

NUM_THREADS = 16


def main() -> None:
    path, port = arguments()
    model = Model(path, num_threads=1)

    def generate(latents: bytes, _: grpc.ServicerContext) -> bytes:
        return model(model.rows_of(latents)).tobytes()

    server = grpc.server(ThreadPoolExecutor(NUM_THREADS), options=[("grpc.max_receive_message_length", -1)])
    handlers: dict[str, Any] = {"Generate": grpc.unary_unary_rpc_method_handler(generate)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("Images", handlers)])
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
