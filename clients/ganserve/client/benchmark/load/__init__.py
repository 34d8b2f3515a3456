"""Load on a server: requests in a closed loop, in an open loop or as streams, and what became of them."""

from .generator import LoadGenerator
from .loops import closed_loop, open_loop, streams
from .outcomes import Outcomes, percentile_ms
from .requests import STREAM_SAMPLES, RequestKind, Requests

__all__ = [
    "STREAM_SAMPLES",
    "LoadGenerator",
    "Outcomes",
    "RequestKind",
    "Requests",
    "closed_loop",
    "open_loop",
    "percentile_ms",
    "streams",
]
