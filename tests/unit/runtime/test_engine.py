from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
import pytest

from ganserve.contract.bundle import IMAGES_OUTPUT, golden_rows, signature_of
from ganserve.contract.errors import ArtifactError, ConfigError
from ganserve.contract.rows import Rows
from ganserve.runtime.device import choose_device, count_gpus, count_physical_cores
from ganserve.runtime.engine import Engine, bucket_sizes
from ganserve.runtime.lanes import Lanes
from ganserve.v1.model_pb2 import ModelCard


@pytest.mark.parametrize(
    ("max_batch", "expected"), [(1, (1,)), (2, (1, 2)), (32, (1, 2, 4, 8, 16, 32)), (24, (1, 2, 4, 8, 16, 24))]
)
def test_buckets_are_powers_of_two_up_to_the_largest_batch(max_batch: int, expected: tuple[int, ...]) -> None:
    assert bucket_sizes(max_batch) == expected


def test_an_image_does_not_depend_on_its_batch(tiny_model: onnx.ModelProto, tiny_card: ModelCard) -> None:
    rows = golden_rows(tiny_card, seed=1, count=21)
    with Lanes("cpu", 2) as lanes:
        engine = Engine(tiny_model.SerializeToString(), signature_of(tiny_card), lanes=lanes, max_batch=8)
        together = engine.run_all(rows).columns[IMAGES_OUTPUT]
        alone = [lanes.submit(engine.run, rows[i : i + 1]).result().columns[IMAGES_OUTPUT] for i in range(21)]
    assert together.shape == (21, 6, 5, 3)
    assert together.dtype == np.uint8
    np.testing.assert_array_equal(np.concatenate(alone), together)


def test_costs_lie_between_those_of_the_measured_buckets(
    tiny_model: onnx.ModelProto, tiny_card: ModelCard, lanes: Lanes
) -> None:
    engine = Engine(tiny_model.SerializeToString(), signature_of(tiny_card), lanes=lanes, max_batch=8)
    assert list(engine.costs_s) == [1, 2, 4, 8]
    low, high = sorted((engine.costs_s[4], engine.costs_s[8]))
    assert low <= engine.cost_s(6) <= high


@dataclass
class TimedRunner:
    """Takes so many milliseconds for a run of so many rows, by a clock of its own."""

    run_ms: Callable[[int], float]
    pads_to_bucket: bool = False
    now_ms: float = 0.0

    def run(self, rows: Rows) -> Rows:
        self.now_ms += self.run_ms(len(rows))
        return rows

    def thread_time(self) -> float:
        return self.now_ms * 1e-3


@pytest.mark.parametrize(
    ("runner", "max_batch"),
    [
        (TimedRunner(lambda num_rows: 4 * num_rows), 4),
        (TimedRunner(lambda num_rows: 100 * num_rows), 1),
        (TimedRunner(lambda num_rows: 100 + 10 * num_rows), 32),
        (TimedRunner(lambda num_rows: 0.1 * num_rows), 32),
        (TimedRunner(lambda num_rows: 4 * num_rows, pads_to_bucket=True), 32),
    ],
    ids=["as fast from 20 ms on", "as fast at once", "ever faster", "short", "on a GPU"],
)
def test_batches_grow_until_a_run_is_long_and_a_larger_one_no_faster(
    runner: TimedRunner, max_batch: int, tiny_card: ModelCard, lanes: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ganserve.runtime.engine.open_runner", lambda *_: runner)
    monkeypatch.setattr("ganserve.runtime.engine.time", runner)
    engine = Engine(b"", signature_of(tiny_card), lanes=lanes, max_batch=32)
    assert engine.max_batch == max_batch
    assert engine.cost_s(max_batch) == pytest.approx(runner.run_ms(max_batch) * 1e-3)


def test_bytes_that_are_no_model_are_refused(tiny_card: ModelCard, lanes: Lanes) -> None:
    with pytest.raises(ArtifactError, match="ONNX Runtime cannot load the model"):
        Engine(b"nonsense", signature_of(tiny_card), lanes=lanes, max_batch=1)


def test_cuda_without_a_gpu_fails_loudly() -> None:
    if count_gpus():
        assert choose_device("auto") == choose_device("cuda") == "cuda"
        return
    assert choose_device("auto") == choose_device("cpu") == "cpu"
    with pytest.raises(ConfigError, match="--device cuda: the CUDA driver finds no GPU here"):
        choose_device("cuda")


def test_there_is_at_least_one_core() -> None:
    assert count_physical_cores() >= 1
