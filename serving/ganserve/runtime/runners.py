"""One ONNX Runtime session, run in the way that suits its device.

A runner makes a model's outputs from its inputs, both by name as the signature has them, for any number of rows up to
its largest bucket. It is not told of queues, threads or gRPC.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import onnxruntime

from ganserve.contract.bundle import blank_rows
from ganserve.contract.errors import ArtifactError, ConfigError
from ganserve.contract.extras import install_advice
from ganserve.contract.rows import Rows
from ganserve.contract.text import one_line
from ganserve.v1.bundle_pb2 import Signature

from .device import Device

_SILENT: Final = 4


class Runner(Protocol):
    """Runs a model.

    Attributes:
        pads_to_bucket: whether it runs a whole bucket, however few rows there are.
        provider: what ONNX Runtime runs it on, as the session tells.
    """

    pads_to_bucket: bool
    provider: str

    def run(self, rows: Rows) -> Rows:
        """The outputs for N rows of inputs."""


class CpuRunner:
    """A session with one intra-op thread: speed comes from running it on several lanes at once."""

    pads_to_bucket = False

    def __init__(self, model: bytes | Path, signature: Signature) -> None:
        self._outputs = [tensor.name for tensor in signature.outputs]
        options = _session_options()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.enable_mem_pattern = False  # which keeps memory for every batch size, and gains nothing
        self._session = open_session(model, options, ["CPUExecutionProvider"])
        self.provider = _provider_of(self._session)

    def run(self, rows: Rows) -> Rows:
        outputs = self._session.run(self._outputs, rows.columns)
        return Rows(dict(zip(self._outputs, outputs, strict=True)))


class CudaRunner:
    """A session on the GPU, with a CUDA graph for each bucket.

    Every run is padded to a bucket, for a transposed convolution plans anew whenever its batch size changes. Inputs lie
    in device memory of their own, since a replayed graph does not read inputs that are bound on the host.
    """

    pads_to_bucket = True

    def __init__(self, model: bytes | Path, signature: Signature, buckets: Sequence[int]) -> None:
        onnxruntime.preload_dlls()
        # cuDNN's plans that do not suit are reported as errors, also where another one is found.
        onnxruntime.set_default_logger_severity(_SILENT)
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
                f"ONNX Runtime cannot run the model on CUDA ({error.__cause__}); use --device cpu, or install CUDA and "
                f"cuDNN: {install_advice('cuda')}"
            ) from error
        self.provider = _provider_of(self._session)
        self._bindings = [_CudaBinding(self._session, signature, num_rows) for num_rows in sorted(buckets)]

    def run(self, rows: Rows) -> Rows:
        binding = next(binding for binding in self._bindings if binding.num_rows >= len(rows))
        return binding.run(self._session, rows)


class _CudaBinding:
    """The device memory and the graph of one bucket."""

    def __init__(self, session: Any, signature: Signature, num_rows: int) -> None:
        self.num_rows = num_rows
        self._host_inputs = blank_rows(signature, num_rows)
        self._inputs = {
            name: onnxruntime.OrtValue.ortvalue_from_numpy(column, "cuda", 0)
            for name, column in self._host_inputs.columns.items()
        }
        self._outputs = {
            tensor.name: onnxruntime.OrtValue.ortvalue_from_shape_and_type(
                (num_rows, *tensor.row_shape), np.dtype(tensor.dtype), "cuda", 0
            )
            for tensor in signature.outputs
        }
        self._binding = session.io_binding()
        for name, value in self._inputs.items():
            self._binding.bind_ortvalue_input(name, value)
        for name, value in self._outputs.items():
            self._binding.bind_ortvalue_output(name, value)
        self._run_options = onnxruntime.RunOptions()
        self._run_options.add_run_config_entry("gpu_graph_id", str(num_rows))

    def run(self, session: Any, rows: Rows) -> Rows:
        for name, value in self._inputs.items():
            padded = self._host_inputs.columns[name]
            padded[: len(rows)] = rows.columns[name]
            value.update_inplace(padded)
        session.run_with_iobinding(self._binding, self._run_options)
        return Rows({name: value.numpy()[: len(rows)] for name, value in self._outputs.items()})


def open_runner(model: bytes | Path, signature: Signature, device: Device, buckets: Sequence[int]) -> Runner:
    """Builds the session from the model's bytes, or from a file that nobody else can change.

    Raises:
        ArtifactError: ONNX Runtime cannot load the model.
        ConfigError: CUDA cannot be used.
    """
    return CudaRunner(model, signature, buckets) if device == "cuda" else CpuRunner(model, signature)


def _provider_of(session: Any) -> str:
    """The one that comes first."""
    providers: list[str] = session.get_providers()
    return providers[0]


def _session_options() -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _SILENT  # what is raised need not be printed too
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def open_session(model: bytes | Path, options: Any, providers: list[Any], *, source: str = "the model") -> Any:
    """A session of ONNX Runtime. Raises ArtifactError, which names `source`, where it refuses the model.

    Bytes are copied under Python's lock, which a file is not.
    """
    opened = str(model) if isinstance(model, Path) else model
    try:
        session = onnxruntime.InferenceSession(opened, options, providers=providers, enable_fallback=0)
    except Exception as error:  # ONNX Runtime's errors have no common base but Exception
        raise ArtifactError(f"ONNX Runtime cannot load {source}: {one_line(error)}") from error
    # Kept for a fallback, which is off, and as large as the model.
    session._model_bytes = None
    return session
