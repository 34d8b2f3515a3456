from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ganserve.training.datasets import ImageDataset
from ganserve.training.evaluation import FeatureExtractor, feature_extractor_for
from ganserve.training.evaluation.classifier_training import ClassifierSettings

CPU = torch.device("cpu")


class Steps:
    """Counts training steps."""

    def __init__(self) -> None:
        self.num_done = 0

    def __call__(self, num_done: int, total: int) -> None:
        assert num_done <= total
        self.num_done = num_done


def get(dataset: ImageDataset, settings: ClassifierSettings) -> tuple[FeatureExtractor, int]:
    """The feature extractor, and the steps that it took to get it."""
    steps = Steps()
    return feature_extractor_for(dataset, device=CPU, on_progress=steps, settings=settings), steps.num_done


def cached_file(cache: Path) -> Path:
    (path,) = (cache / "feature-extractors").iterdir()
    return path


def test_it_is_trained_once(make_bars: Callable[..., ImageDataset], quick: ClassifierSettings) -> None:
    trained, num_steps = get(make_bars(), quick)
    cached, num_steps_again = get(make_bars(), quick)
    assert (num_steps, num_steps_again) == (quick.num_steps, 0)
    assert cached.accuracy == trained.accuracy
    assert cached.digest == trained.digest
    assert not cached.training
    assert not any(parameter.requires_grad for parameter in cached.parameters())
    images = torch.rand(5, 1, 8, 8) * 2 - 1
    for ours, theirs in zip(cached(images), trained(images), strict=True):
        assert torch.equal(ours, theirs)


def test_other_data_and_other_settings_get_their_own(
    make_bars: Callable[..., ImageDataset], quick: ClassifierSettings, cache: Path
) -> None:
    bars = make_bars()
    for dataset, settings in [
        (bars, quick),
        (make_bars(seed=1), quick),
        (make_bars(labelled=False), quick),
        (dataclasses.replace(bars, class_names=("top", "middle", "below", "absent")), quick),
        (bars, dataclasses.replace(quick, seed=1)),
    ]:
        assert get(dataset, settings)[1] == quick.num_steps
    assert len(list((cache / "feature-extractors").iterdir())) == 5


def test_the_digest_tells_judges_apart(make_bars: Callable[..., ImageDataset], quick: ClassifierSettings) -> None:
    one, other = get(make_bars(), quick)[0], get(make_bars(), dataclasses.replace(quick, seed=1))[0]
    assert re.fullmatch("[0-9a-f]{64}", one.digest)
    assert one.digest != other.digest
    before = one.digest
    one.accuracy /= 2
    assert one.digest != before


@pytest.mark.parametrize("damage", ["torn", "altered", "foreign", "empty"])
def test_a_damaged_file_is_trained_anew_and_mended(
    make_bars: Callable[..., ImageDataset], quick: ClassifierSettings, cache: Path, damage: str
) -> None:
    trained, _ = get(make_bars(), quick)
    path = cached_file(cache)
    whole = path.read_bytes()
    broken = {
        "torn": whole[: len(whole) // 2],
        "altered": whole[:-5] + bytes([whole[-5] ^ 1]) + whole[-4:],
        "foreign": b"something else",
        "empty": b"",
    }
    path.write_bytes(broken[damage])
    again, num_steps = get(make_bars(), quick)
    assert num_steps == quick.num_steps
    assert again.accuracy == trained.accuracy
    assert get(make_bars(), quick)[1] == 0


def test_a_changed_accuracy_is_noticed(
    make_bars: Callable[..., ImageDataset], quick: ClassifierSettings, cache: Path
) -> None:
    trained, _ = get(make_bars(), quick)
    path = cached_file(cache)
    accuracy = repr(trained.accuracy).encode()
    path.write_bytes(path.read_bytes().replace(b'"' + accuracy + b'"', b'"' + b"9" * len(accuracy) + b'"'))
    assert get(make_bars(), quick)[1] == quick.num_steps


def test_a_cache_that_cannot_be_written_is_gone_without(
    make_bars: Callable[..., ImageDataset], quick: ClassifierSettings, cache: Path
) -> None:
    cache.write_text("a file where the folder would be")
    assert get(make_bars(), quick)[0].accuracy > 0
