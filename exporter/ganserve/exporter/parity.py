"""Whether the ONNX file, in the server's own runner, makes what the generator makes in PyTorch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from ganserve.contract.bundle import IMAGES_OUTPUT, LABELS_INPUT, Dtype, golden_rows, signature_of
from ganserve.contract.card import is_translator
from ganserve.contract.errors import ConfigError, ParityError
from ganserve.contract.rows import Rows
from ganserve.contract.text import first_line, one_line
from ganserve.runtime import runners
from ganserve.runtime.runners import CpuRunner
from ganserve.v1.bundle_pb2 import Parity, Signature, TensorSpec
from ganserve.v1.model_pb2 import ModelCard

from .onnx_graph import FLOATS_OUTPUT, OnnxGraph, PixelGenerator
from .tolerance import LEVELS_A_UNIT, Tolerance

BATCH_SIZES: Final = (1, 2, 7, 64)

_SEED: Final = 0
_MOST_LABELS_ALONE: Final = 100
_MOST_PIXELS: Final = 4 * 1024**2

Inputs = dict[str, NDArray[Any]]


def num_rows_of(inputs: Inputs) -> int:
    """Rows of all inputs, which have as many each."""
    return len(next(iter(inputs.values())))


Reference = Callable[[Inputs], tuple[NDArray[np.uint8], NDArray[np.float32]]]
"""From inputs to images uint8 (N, H, W, C) and the floats that they come from, of any shape."""
OnProgress = Callable[[int, int], None]
"""Told how many comparisons are done, and of how many."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One batch in PyTorch and in ONNX Runtime."""

    batch_size: int
    label: int | None
    """The label of all rows; None where they are mixed, or there are none."""
    max_float_error: float
    max_levels_off: int
    num_values: int
    num_values_off: int
    seconds: float
    """What ONNX Runtime took for the images."""
    lowest: float
    """Of the generator's floats."""
    highest: float


def open_session(model: bytes, *, source: str = "the exported graph") -> Any:
    """A session on the CPU for a graph that no server runs.

    Raises ArtifactError, which names `source`, where ONNX Runtime refuses the graph.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what is raised need not be printed too
    options.intra_op_num_threads = 1  # as the server's lanes have it
    return runners.open_session(model, options, ["CPUExecutionProvider"], source=source)


def reference_of(generator: nn.Module) -> Reference:
    """What `generator`, in eval mode on the CPU, makes in PyTorch, on one thread: on more it would round otherwise."""
    pixels = PixelGenerator(generator).eval()

    def run(inputs: Inputs) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        with torch.inference_mode(), one_thread():
            try:
                images, floats = pixels(**{name: torch.from_numpy(value) for name, value in inputs.items()})
            except Exception as error:
                raise ConfigError(
                    f"{_describe(inputs)}: the generator fails in PyTorch: {first_line(error)}"
                ) from error
        return images.numpy(), floats.float().numpy()

    return run


def check_parity(
    reference: Reference,
    card: ModelCard,
    graph: OnnxGraph,
    tolerance: Tolerance,
    on_progress: OnProgress | None = None,
) -> list[Comparison]:
    """Compares the exported graph with the generator on seeded latents, at every batch size with every label.

    Args:
        reference: what the graph must equal.
        card: the generator's card.
        graph: what was made of it.
        tolerance: how equal.
        on_progress: called with the comparisons done and their number.

    Raises:
        ParityError: the graph cannot be run at a batch size, or a float, a value or too many values differ.
        ArtifactError: ONNX Runtime cannot load it.
    """
    signature = signature_of(card)
    floats_alone = Signature(inputs=signature.inputs, outputs=[TensorSpec(name=FLOATS_OUTPUT, dtype="float32")])
    runner, floats_runner = CpuRunner(graph.model, signature), CpuRunner(graph.model_with_floats, floats_alone)
    batches = list(_batches(card))
    comparisons: list[Comparison] = []
    in_smaller_batch: dict[int | None, NDArray[np.uint8]] = {}
    for num_done, (label, inputs) in enumerate(batches, start=1):
        where = _describe(inputs)
        images, floats = reference(inputs)
        start_s = time.perf_counter()
        with _run_errors(where):
            onnx_images = runner.run(Rows(inputs)).columns[IMAGES_OUTPUT]
            seconds = time.perf_counter() - start_s
            onnx_floats = floats_runner.run(Rows(inputs)).columns[FLOATS_OUTPUT]
        if onnx_images.shape != images.shape or onnx_images.dtype != images.dtype:
            raise ParityError(
                f"{where}: ONNX Runtime gives {onnx_images.dtype} {onnx_images.shape}, "
                f"the generator {images.dtype} {images.shape}"
            )
        if not np.isfinite(floats).all():
            raise ParityError(f"{where}: the generator itself makes numbers that are not finite")
        levels_off = np.abs(onnx_images.astype(np.int16) - images)
        comparison = Comparison(
            batch_size=len(images),
            label=label,
            max_float_error=float(np.abs(onnx_floats - floats).max()),
            max_levels_off=int(levels_off.max()),
            num_values=images.size,
            num_values_off=int(np.count_nonzero(levels_off)),
            seconds=seconds,
            lowest=float(floats.min()),
            highest=float(floats.max()),
        )
        _check(comparison, tolerance, where)
        _check_independence(in_smaller_batch.get(label), onnx_images, tolerance, where)
        in_smaller_batch[label] = onnx_images
        comparisons.append(comparison)
        if on_progress is not None:
            on_progress(num_done, len(batches))
    _check_share(comparisons, tolerance)
    return comparisons


def summarise(comparisons: list[Comparison], dtype: Dtype, tolerance: Tolerance) -> Parity:
    """All comparisons as one, for the manifest."""
    return Parity(
        dtype=dtype,
        tolerance=tolerance.floats,
        num_images=sum(comparison.batch_size for comparison in comparisons),
        max_float_error=max(comparison.max_float_error for comparison in comparisons),
        max_levels_off=max(comparison.max_levels_off for comparison in comparisons),
        num_values=sum(comparison.num_values for comparison in comparisons),
        num_values_off=sum(comparison.num_values_off for comparison in comparisons),
    )


@contextmanager
def _run_errors(where: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # ONNX Runtime's errors have no common base but Exception
        raise ParityError(f"{where}: ONNX Runtime cannot run the graph: {one_line(error)}") from error


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch on one thread: on more it would round otherwise."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)


def _check(comparison: Comparison, tolerance: Tolerance, where: str) -> None:
    if not comparison.max_float_error <= tolerance.floats:
        raise ParityError(
            f"{where}: a float differs by {comparison.max_float_error:.3g}, more than --atol {tolerance.floats:g}"
        )
    if comparison.max_levels_off > tolerance.levels:
        raise ParityError(
            f"{where}: a value differs by {comparison.max_levels_off} levels of 255, more than {tolerance.levels}"
        )


def _check_independence(before: Any, images: Any, tolerance: Tolerance, where: str) -> None:
    """The same latents and labels gave `before` in a smaller batch; its images must be the first ones of this batch."""
    if before is None:
        return
    levels_off = int(np.abs(images[: len(before)].astype(np.int16) - before).max())
    if levels_off > tolerance.levels_between_batches:
        raise ParityError(
            f"{where}: a value is {levels_off} levels off what it was in a batch of {len(before)}; an image must not "
            "depend on the others in its batch"
        )


def _check_share(comparisons: list[Comparison], tolerance: Tolerance) -> None:
    num_values = sum(comparison.num_values for comparison in comparisons)
    num_values_off = sum(comparison.num_values_off for comparison in comparisons)
    share_off = num_values_off / num_values
    if share_off <= tolerance.share_off:
        return
    max_float_error = max(comparison.max_float_error for comparison in comparisons)
    found = (
        f"{num_values_off:,} of {num_values:,} values differ by a level or more: {share_off:.2%}, and at most "
        f"{tolerance.share_off:.1%} may; floats differ by {max_float_error:.2g} at most"
    )
    if share_off > max_float_error * LEVELS_A_UNIT:
        raise ParityError(f"{found}, which does not explain it: the step to pixels is another one")
    atol = tolerance.taking(share_off)
    raise ParityError(f"{found}, so it is rounding: take it with --atol {atol:g}, or export with --dtype fp32")


def _batches(card: ModelCard) -> Iterator[tuple[int | None, Inputs]]:
    """Each batch size: alone for an unconditional generator, else with each label and with all labels mixed.

    Of very many labels some are taken, evenly spaced, the first and the last among them.
    """
    num_classes = len(card.class_names)
    alone = np.unique(
        np.linspace(0, num_classes - 1, min(num_classes, _MOST_LABELS_ALONE)).round().astype(int)
    ).tolist()
    for batch_size in batch_sizes(card):
        inputs = dict(golden_rows(card, _SEED, batch_size).columns)
        for label in alone:
            yield label, {**inputs, LABELS_INPUT: np.full(batch_size, label, np.int64)}
        if alone:
            inputs[LABELS_INPUT] = np.arange(batch_size, dtype=np.int64) % num_classes
        yield None, inputs


def batch_sizes(card: ModelCard) -> list[int]:
    """Batches that are compared; of a translator, whose images may be large, at least two."""
    if not is_translator(card):
        return list(BATCH_SIZES)
    most = max(2, _MOST_PIXELS // (card.image.height * card.image.width))
    return [batch_size for batch_size in BATCH_SIZES if batch_size <= most]


def _describe(inputs: Inputs) -> str:
    labels = inputs.get(LABELS_INPUT)
    text = f"batch of {num_rows_of(inputs)}"
    return text if labels is None else f"{text} with labels {sorted(set(labels.tolist()))}"
