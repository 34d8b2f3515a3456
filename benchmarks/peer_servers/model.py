"""The ONNX file that every server runs, in a session as each wants it."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

Latents = npt.NDArray[np.float32]
Images = npt.NDArray[np.uint8]


class Model:
    """A generator: latents (N, dim) to images (N, height, width, channels)."""

    def __init__(self, path: str, *, num_threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads
        self._session: Any = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.latent_dim: int = self._session.get_inputs()[0].shape[1]
        self.image_shape: tuple[int, ...] = tuple(self._session.get_outputs()[0].shape[1:])

    def rows_of(self, data: bytes) -> Latents:
        """Latents that came as bytes, little-endian."""
        return np.frombuffer(data, "<f4").reshape(-1, self.latent_dim)

    def __call__(self, latents: Latents) -> Images:
        images: Images = self._session.run(None, {"latents": latents})[0]
        return images


def arguments() -> tuple[str, int]:
    """The path of the model and the port, from the command line."""
    _, path, port = sys.argv
    return path, int(port)
