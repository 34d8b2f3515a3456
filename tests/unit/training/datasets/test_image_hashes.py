"""Few hashes tell whether images are among others."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from ganserve.training.datasets.image_hashes import MOST_HASHES, Known, look_up, smallest_hashes

RNG = np.random.default_rng(0)
MANY = RNG.integers(0, 256, (4_000, 4, 4, 1), dtype=np.uint8)
OTHERS = RNG.integers(0, 256, (4_000, 4, 4, 1), dtype=np.uint8)


def test_a_hash_is_what_the_card_says_it_is() -> None:
    image = MANY[:1]
    expected = hashlib.sha256(bytes([4, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0]) + image.tobytes()).digest()[:8]
    assert smallest_hashes(np.concatenate([image, image])) == expected


def test_of_few_images_all_are_known() -> None:
    sketch = smallest_hashes(MANY[:100])
    assert len(sketch) == 800
    assert look_up(np.concatenate([MANY[:60], OTHERS[:40]]), sketch) == Known(100, 60)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_of_many_images_a_random_sample_is_checked(share: float) -> None:
    sketch = smallest_hashes(MANY)
    assert len(sketch) == 8 * MOST_HASHES
    num_known = int(share * 4_000)
    checked, known = look_up(np.concatenate([MANY[:num_known], OTHERS[num_known:]]), sketch)
    assert checked == pytest.approx(MOST_HASHES, abs=60)
    assert known / checked == pytest.approx(share, abs=0.1)


def test_other_shapes_and_empty_sketches() -> None:
    assert look_up(MANY[:10], b"") == Known(0, 0)
    assert look_up(MANY[:10].reshape(10, 2, 8, 1), smallest_hashes(MANY[:10])).num_known == 0
