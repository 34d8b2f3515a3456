"""The page: files that lie in `page/`, and nothing from elsewhere."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from .caching import has_current

_FOLDER: Final = Path(__file__).parent / "page"
_FILES: Final = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)


def page_routes() -> dict[str, Any]:
    """A handler for each file, by its path."""
    return {path: _handler((_FOLDER / name).read_bytes(), media_type) for path, (name, media_type) in _FILES.items()}


def _handler(data: bytes, media_type: str) -> Any:
    headers = {
        "etag": f'"{hashlib.sha256(data).hexdigest()[:32]}"',
        "cache-control": "no-cache",
        "content-security-policy": _POLICY,
        "referrer-policy": "no-referrer",
    }

    async def handle(request: Request) -> Response:
        if has_current(request, headers["etag"]):
            return Response(status_code=304, headers=headers)
        return Response(data, headers=headers, media_type=media_type)

    return handle
