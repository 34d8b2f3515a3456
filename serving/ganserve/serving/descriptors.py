"""What reflection tells of: descriptors that lie in several pools."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pool import DescriptorPool


class Descriptors:
    """Several pools as one, for the reader that reflection is. What the process's common pool knows comes last.

    The methods are those of a pool, by whose names they are called, and raise KeyError as its do.
    """

    def __init__(self, *pools: DescriptorPool) -> None:
        common = descriptor_pool.Default()
        self._pools = (*(pool for pool in pools if pool is not common), common)

    def FindFileByName(self, file_name: str) -> Any:  # noqa: N802
        """The file of a name."""
        return self._find("FindFileByName", file_name)

    def FindFileContainingSymbol(self, symbol: str) -> Any:  # noqa: N802
        """The file that defines a name."""
        return self._find("FindFileContainingSymbol", symbol)

    def FindMessageTypeByName(self, full_name: str) -> Any:  # noqa: N802
        """The message of a name."""
        return self._find("FindMessageTypeByName", full_name)

    def FindExtensionByNumber(self, message: Any, number: int) -> Any:  # noqa: N802
        """The extension of a message that has a number."""
        return message.file.pool.FindExtensionByNumber(message, number)

    def FindAllExtensions(self, message: Any) -> Any:  # noqa: N802
        """All extensions of a message."""
        return message.file.pool.FindAllExtensions(message)

    def _find(self, method: str, name: str) -> Any:
        for pool in self._pools:
            try:
                return getattr(pool, method)(name)
            except KeyError:
                continue
        raise KeyError(name)
