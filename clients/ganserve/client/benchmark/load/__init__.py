"""Load on a server: requests in a closed loop, in an open loop or as a stream, and what became of them."""

from .generator import LoadGenerator
from .loops import closed_loop, open_loop, streams
from .outcomes import Outcomes
from .requests import RequestKind, Requests

__all__ = ["LoadGenerator", "Outcomes", "RequestKind", "Requests", "closed_loop", "open_loop", "streams"]
