"""What can go wrong with a server of another maker."""

from __future__ import annotations

from ganserve.contract.errors import GanserveError


class PeerError(GanserveError):
    """A server that cannot be installed, does not start, or answers with something else than the images."""
