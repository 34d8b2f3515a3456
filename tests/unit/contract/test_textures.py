from __future__ import annotations

import hashlib

import numpy as np
import pytest

from ganserve.contract.textures import sample_textures


def test_golden_values() -> None:
    textures = sample_textures(0, 0, 2, (5, 7, 1))
    assert textures[0, :2, :, 0].tolist() == [[135, 129, 130, 132, 119, 135, 124], [127, 138, 134, 138, 128, 131, 128]]
    digest = hashlib.sha256(sample_textures(7, 2**63, 3, (70, 90, 3), number=1).tobytes()).hexdigest()
    assert digest == "b2cabca44bce7d7eb8cb43986e48b5ed1933a5f13a592b7fc297e1e5d2ce87ca"


@pytest.mark.parametrize("shape", [(1, 1, 1), (16, 16, 3), (65, 3, 3)])
def test_an_index_is_the_same_texture_wherever_it_is_drawn(shape: tuple[int, int, int]) -> None:
    whole = sample_textures(3, 5, 6, shape)
    assert whole.dtype == np.uint8
    assert whole.shape == (6, *shape)
    assert np.array_equal(sample_textures(3, 8, 2, shape), whole[3:5])
    assert not np.array_equal(sample_textures(4, 5, 6, shape), whole)
    assert not np.array_equal(sample_textures(3, 5, 6, shape, number=1), whole)


def test_there_is_detail_at_every_scale() -> None:
    (texture,) = sample_textures(0, 0, 1, (256, 256, 1)).astype(float)
    for size in (1, 4, 16, 64):
        coarse = texture.reshape(256 // size, size, 256 // size, size).mean((1, 3))
        assert coarse.std() > 3
