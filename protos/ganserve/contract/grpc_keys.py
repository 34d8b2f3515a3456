"""Keys of gRPC metadata that both sides know."""

from __future__ import annotations

from typing import Final

STATUS_DETAILS_KEY: Final = "grpc-status-details-bin"
"""Trailing: a serialised `google.rpc.Status`, with the field at fault and the advised wait."""

REQUEST_ID_KEY: Final = "x-request-id"
"""With a request: the caller's id for it. Trailing, with an error: by which id the server's log knows the call."""

PROFILE_KEY: Final = "ganserve-profile"
"""With a request: whatever its value, the caller wants to know where the time goes."""

CALL_TIMES_KEY: Final = "ganserve-call-times-bin"
"""Trailing, where the caller wants to know: a serialised `CallTimes`."""
