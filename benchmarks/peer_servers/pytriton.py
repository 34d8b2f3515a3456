"""PyTriton: Triton's C++ front end and dynamic batcher, an instance of the model a core."""

from __future__ import annotations

import os
import sysconfig

import numpy as np
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

from peer_servers.model import Images, Latents, Model, arguments

MAX_ROWS = 64


def main() -> None:
    path, port = arguments()
    _let_triton_find_this_python()
    model = Model(path, num_threads=1)

    @batch
    def generate(latents: Latents) -> dict[str, Images]:
        return {"images": model(latents)}

    config = TritonConfig(
        allow_http=True,
        http_address="127.0.0.1",
        http_port=port + 1,
        grpc_address="127.0.0.1",
        grpc_port=port,
        allow_metrics=False,
        allow_sagemaker=False,
        allow_vertex_ai=False,
    )
    with Triton(config=config) as triton:
        triton.bind(
            model_name="generator",
            infer_func=[generate] * (os.cpu_count() or 1),
            inputs=[Tensor(name="latents", dtype=np.float32, shape=(model.latent_dim,))],
            outputs=[Tensor(name="images", dtype=np.uint8, shape=model.image_shape)],
            config=ModelConfig(max_batch_size=MAX_ROWS, batcher=DynamicBatcher()),
        )
        triton.serve()


def _let_triton_find_this_python() -> None:
    """Triton's processes of Python must load the library of the Python whose modules they import."""
    folders = [sysconfig.get_config_var("LIBDIR"), os.environ.get("LD_LIBRARY_PATH")]
    os.environ["LD_LIBRARY_PATH"] = ":".join(filter(None, folders))


if __name__ == "__main__":
    main()
