from __future__ import annotations

import numpy as np
import onnx
import pytest

from ganserve.contract.bundle import IMAGES_OUTPUT, golden_rows, signature_of
from ganserve.contract.errors import ArtifactError, ConfigError
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
