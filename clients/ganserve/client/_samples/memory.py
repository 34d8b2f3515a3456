"""Whether the samples of a call fit into memory, so that one that cannot end well does not begin."""

from __future__ import annotations

import math
import os
import sys
from typing import Final

from ganserve.client._queries.parts import num_samples
from ganserve.contract.errors import InvalidRequestError
from ganserve.contract.images import is_raw
from ganserve.v1.generator_pb2 import SampleQuery

from .model_info import ModelInfo

_SMALLEST_FILE_BYTES: Final = 64


def check_fits(query: SampleQuery, model: ModelInfo) -> None:
    """Raises InvalidRequestError where the samples of a query would take more than the machine's memory."""
    image_bytes = math.prod(model.image_shape) if is_raw(query.encoding) else _SMALLEST_FILE_BYTES
    num_bytes = num_samples(query) * image_bytes
    if num_bytes > _physical_bytes():
        raise InvalidRequestError(
            f"{num_samples(query):,} samples of this model take at least {num_bytes / 2**30:,.0f} GiB at once, more "
            "than this machine has; stream() gives them a few at a time",
        )


def _physical_bytes() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not on Windows
        return sys.maxsize
