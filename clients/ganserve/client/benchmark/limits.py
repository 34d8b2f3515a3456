"""What a model holds the settings of every measurement to."""

from __future__ import annotations

from ganserve.client._samples.model_info import ModelInfo, short_name
from ganserve.contract.errors import ConfigError
from ganserve.contract.text import counted


def check_size(size: int, model: ModelInfo) -> None:
    """Raises ConfigError where the server does not make so many samples of a model for one request."""
    if size > model.max_samples_per_request:
        raise ConfigError(
            f"--size is {size}, and the server makes at most {counted(model.max_samples_per_request, 'sample')} of "
            f"{short_name(model.identity)} for one request"
        )
