"""What a server asks of the operating system for its own process."""

from __future__ import annotations

from contextlib import suppress

try:
    import resource
except ImportError:  # Windows, which has neither
    resource = None  # type: ignore[assignment]


def forbid_core_files() -> None:
    """Has a crash leave no image of the memory, in which tokens and keys would stand, on disk."""
    if resource is not None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def raise_file_limit() -> None:
    """Allows as many open files, and so connections, as the system lets this process have."""
    if resource is not None:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        with suppress(OSError, ValueError):  # a system that promises more than it gives
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
