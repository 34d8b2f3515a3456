from __future__ import annotations

from collections.abc import Callable

import pytest
from torch import nn

LiveIn = Callable[[nn.Module], nn.Module]


@pytest.fixture(scope="session")
def lived_in() -> LiveIn:
    """Gives the batch norms of a fresh generator statistics as training would, and puts it into eval mode."""

    def live_in(generator: nn.Module) -> nn.Module:
        for name, buffer in generator.named_buffers():
            if name.endswith("running_mean"):
                buffer.uniform_(-0.1, 0.1)
            elif name.endswith("running_var"):
                buffer.uniform_(0.2, 0.5)
        return generator.eval()

    return live_in
