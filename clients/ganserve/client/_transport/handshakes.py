"""Why a connection did not come about, read off what gRPC says of it."""

from __future__ import annotations

import re
from typing import Final

from .addresses import is_tls

_UNVERIFIED: Final = re.compile(r"CERTIFICATE_VERIFY_FAILED: ([^:]+)")
_OTHER_NAME: Final = "Hostname Verification Check failed"
_NO_TLS: Final = "WRONG_VERSION_NUMBER"
_OF_DATES: Final = ("certificate has expired", "certificate is not yet valid")
_CLOSED_AT_ONCE: Final = re.compile(r"last error: .*(Socket closed|Connection reset by peer)")


def distrust(server: str, details: str) -> str:
    """Why a server is not who it should be, in words; nothing where that is not what failed.

    Asking such a server again is no use.
    """
    if _OTHER_NAME in details:
        return f"{server} is not trusted: its certificate is for another name; ask it by one that the certificate has"
    if _NO_TLS in details:
        return f"{server} does not speak TLS; write its address without grpcs:// if you trust the way there"
    if not (unverified := _UNVERIFIED.search(details)):
        return ""
    if unverified[1] in _OF_DATES:
        return f"{server} is not trusted: its {unverified[1]}"
    return (
        f"{server} is not trusted: its certificate is by no CA that is known here ({unverified[1]}); give "
        "the CA's with ca= (--ca, GANSERVE_CA)"
    )


def advise(server: str, details: str) -> str:
    """What the cause may be where a server closed the connection before it said anything; else nothing."""
    if not _CLOSED_AT_ONCE.search(details):
        return ""
    if is_tls(server):
        return "it may want a certificate of yours (cert= and key=; --cert and --key), or have no room for a connection"
    return f"it may speak TLS (write grpcs://{server}), or have no room for a connection"
