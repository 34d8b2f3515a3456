"""Who calls over gRPC, whatever the service."""

from __future__ import annotations

from .answers import WhenSent
from .counted_call import current_identity
from .grpc_calls import Context, deadline_of
from .scheduler import Caller, Priority


def caller_of(context: Context, priority: Priority = Priority.INTERACTIVE) -> Caller:
    """Who calls, and until when the reply is worth something."""
    identity = current_identity()
    return Caller(
        client=identity.name if identity else context.peer(),
        priority=priority,
        deadline_s=deadline_of(context),
        quota=identity.quota if identity else None,
    )


def when_sent(context: Context) -> WhenSent:
    """gRPC is done with a call once its reply is sent, or its caller has left."""
    return lambda act: context.add_done_callback(lambda _: act())  # type: ignore[arg-type]
