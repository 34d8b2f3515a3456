from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganserve.contract.errors import ConfigError
from ganserve.contract.resizing import ResizeMode
from ganserve.training.datasets import Resize, load


def test_parse() -> None:
    assert Resize.parse("32", "pad") == Resize(height=32, width=32, mode="pad")
    assert Resize.parse("32x48") == Resize(height=32, width=48, mode="stretch")


@pytest.mark.parametrize("size", ["", "x", "32x", "-1", "0", "3.5", "32x48x3", "32 48", "99999", "32x0"])
def test_a_size_that_is_none(size: str) -> None:
    with pytest.raises(ConfigError, match=r"^--size"):
        Resize.parse(size)


def resized(pixels: np.ndarray, size: str, mode: ResizeMode) -> np.ndarray:
    return np.asarray(Resize.parse(size, mode).apply(Image.fromarray(pixels)))


def test_crop_keeps_the_centre() -> None:
    wide = np.zeros((4, 8), dtype=np.uint8)
    wide[:, 2:6] = 200
    assert (resized(wide, "4", "crop") == 200).all()
    assert (resized(np.ascontiguousarray(wide.T), "4", "crop") == 200).all()


def test_stretch_keeps_all() -> None:
    wide = np.zeros((4, 8), dtype=np.uint8)
    wide[:, 2:6] = 200
    columns = resized(wide, "4", "stretch").mean(axis=0)
    assert columns[1] > 150 > 50 > columns[0]


def test_pad_centres_a_small_image_without_touching_it() -> None:
    small = np.full((2, 4), 200, dtype=np.uint8)
    padded = resized(small, "6", "pad")
    expected = np.zeros((6, 6), dtype=np.uint8)
    expected[2:4, 1:5] = 200
    np.testing.assert_array_equal(padded, expected)


def test_pad_shrinks_a_large_image_to_fit() -> None:
    padded = resized(np.full((8, 16), 200, dtype=np.uint8), "4", "pad")
    assert padded.shape == (4, 4)
    assert (padded[[0, 3]] == 0).all()
    assert (padded[1:3] == 200).all()


def test_an_image_of_the_right_size_is_left_alone() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (4, 6), dtype=np.uint8)
    for mode in ("stretch", "crop", "pad"):
        np.testing.assert_array_equal(resized(noise, "4x6", mode), noise)


def test_arrays_are_resized_too() -> None:
    digits = load("digits")
    padded = load("digits", resize=Resize.parse("12x10", "pad"))
    assert padded.images.shape == (1797, 12, 10, 1)
    np.testing.assert_array_equal(padded.images[:, 2:10, 1:9], digits.images)
    assert padded.images[:, :2].max() == 0
    assert padded.labels is not None
    np.testing.assert_array_equal(padded.labels, digits.labels)
    assert padded.digest != digits.digest


def test_a_colour_array_stays_in_colour(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 3), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=images)
    assert load(str(tmp_path / "a.npz"), resize=Resize.parse("8")).images.shape == (3, 8, 8, 3)
