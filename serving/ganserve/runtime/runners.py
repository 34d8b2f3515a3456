"""One ONNX Runtime session, run in the way that suits its device.

A runner makes images from latents and labels of any number of rows up to its largest bucket. It is not told of queues,
threads or gRPC.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import onnxruntime

from ganserve.contract.bundle import IMAGES_OUTPUT, LABELS_INPUT, LATENTS_INPUT, onnx_inputs
from ganserve.contract.card import image_shape, is_conditional
from ganserve.contract.errors import ArtifactError, ConfigError
from ganserve.contract.images import Images
from ganserve.contract.labels import Labels
from ganserve.contract.latents import Latents
from ganserve.contract.text import one_line
from ganserve.v1.model_pb2 import ModelCard

from .device import Device


class Runner(Protocol):
    """Runs a model."""

    pads_to_bucket: bool

    def run(self, latents: Latents, labels: Labels | None) -> Images:
        """uint8 (N, H, W, C) from latents (N, latent_dim) and, for a conditional generator, labels (N,)."""


class CpuRunner:
    """A session with one intra-op thread: speed comes from running it on several lanes at once."""

    pads_to_bucket = False

    def __init__(self, model: bytes) -> None:
        options = _session_options()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session = open_session(model, options, ["CPUExecutionProvider"])

    def run(self, latents: Latents, labels: Labels | None) -> Images:
        images: Images = self._session.run([IMAGES_OUTPUT], onnx_inputs(latents, labels))[0]
        return images


class CudaRunner:
    """A session on the GPU, with a CUDA graph for each bucket.

    Every run is padded to a bucket, for a transposed convolution plans anew whenever its batch size changes. Inputs lie
    in device memory of their own, since a replayed graph does not read inputs that are bound on the host.
    """

    pads_to_bucket = True

    def __init__(self, model: bytes, card: ModelCard, buckets: Sequence[int]) -> None:
        onnxruntime.preload_dlls()
        options = _session_options()
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        provider_options = {
            "enable_cuda_graph": "1",
            "cudnn_conv_algo_search": "HEURISTIC",
            "arena_extend_strategy": "kSameAsRequested",
            "use_tf32": "0",
        }
        try:
            self._session = open_session(model, options, [("CUDAExecutionProvider", provider_options)])
        except ArtifactError as error:
            raise ConfigError(
                "ONNX Runtime cannot run the model on CUDA; install CUDA and cuDNN with pip install 'ganserve[cuda]', "
                f"or use --device cpu ({error.__cause__})"
            ) from error
        self._bindings = [_CudaBinding(self._session, card, rows) for rows in sorted(buckets)]

    def run(self, latents: Latents, labels: Labels | None) -> Images:
        binding = next(binding for binding in self._bindings if binding.rows >= len(latents))
        return binding.run(self._session, latents, labels)


class _CudaBinding:
    """The device memory and the graph of one bucket."""

    def __init__(self, session: Any, card: ModelCard, rows: int) -> None:
        self.rows = rows
        self._latents = np.zeros((rows, card.latent_dim), np.float32)
        self._labels = np.zeros(rows, np.int64) if is_conditional(card) else None
        self._device_latents = onnxruntime.OrtValue.ortvalue_from_numpy(self._latents, "cuda", 0)
        self._device_images = onnxruntime.OrtValue.ortvalue_from_shape_and_type(
            (rows, *image_shape(card)), np.uint8, "cuda", 0
        )
        self._binding = session.io_binding()
        self._binding.bind_ortvalue_input(LATENTS_INPUT, self._device_latents)
        self._binding.bind_ortvalue_output(IMAGES_OUTPUT, self._device_images)
        if self._labels is not None:
            self._device_labels = onnxruntime.OrtValue.ortvalue_from_numpy(self._labels, "cuda", 0)
            self._binding.bind_ortvalue_input(LABELS_INPUT, self._device_labels)
        self._run_options = onnxruntime.RunOptions()
        self._run_options.add_run_config_entry("gpu_graph_id", str(rows))

    def run(self, session: Any, latents: Latents, labels: Labels | None) -> Images:
        count = len(latents)
        self._latents[:count] = latents
        self._device_latents.update_inplace(self._latents)
        if self._labels is not None and labels is not None:
            self._labels[:count] = labels
            self._device_labels.update_inplace(self._labels)
        session.run_with_iobinding(self._binding, self._run_options)
        images: Images = self._device_images.numpy()[:count]
        return images


def open_runner(model: bytes, card: ModelCard, device: Device, buckets: Sequence[int]) -> Runner:
    """Builds the session from the model's bytes, never from a path.

    Raises:
        ArtifactError: ONNX Runtime cannot load the model.
        ConfigError: CUDA cannot be used.
    """
    return CudaRunner(model, card, buckets) if device == "cuda" else CpuRunner(model)


def _session_options() -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def open_session(model: bytes, options: Any, providers: list[Any], *, source: str = "the model") -> Any:
    """A session of ONNX Runtime. Raises ArtifactError, which names `source`, where it refuses the model."""
    try:
        return onnxruntime.InferenceSession(model, options, providers=providers, enable_fallback=0)
    except Exception as error:  # ONNX Runtime's errors have no common base but Exception
        raise ArtifactError(f"ONNX Runtime cannot load {source}: {one_line(error)}") from error
