from __future__ import annotations

import pytest
import torch

from ganserve.contract.errors import ConfigError
from ganserve.training.device import choose_device


def test_auto_takes_what_there_is() -> None:
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_device("cpu").type == "cpu"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_fails_loudly_where_there_is_none() -> None:
    with pytest.raises(ConfigError, match="--device cuda: PyTorch finds no usable CUDA device"):
        choose_device("cuda")
