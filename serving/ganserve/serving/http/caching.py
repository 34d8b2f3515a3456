"""For how long caches may keep a picture, and how they ask whether it is still the same."""

from __future__ import annotations

import hashlib
from typing import Final

import PIL
from starlette.requests import Request

from ganserve.serving.model import Model

from .pictures import Picture

_FOR_EVER: Final = "public, max-age=31536000, immutable"
_FOR_A_MOMENT: Final = "public, max-age=10, must-revalidate"


def cache_headers(picture: Picture, model: Model, *, is_pinned: bool) -> dict[str, str]:
    """What caches are told of a picture by a model.

    A URL that holds the model's digest means the same picture for ever. A name or a version may come to mean another
    model, since both are names of folders, so caches have to ask again; `Content-Location` is the lasting URL.

    Args:
        picture: the picture.
        model: makes it.
        is_pinned: whether the URL that was asked for holds the digest.
    """
    url = f"{model.identity.name}@{model.identity.digest}/{picture.url}"
    return {
        "cache-control": _FOR_EVER if is_pinned else _FOR_A_MOMENT,
        "content-location": f"../../../{url}",  # relative, since a proxy may serve all of this below a path
        "etag": f'"{_fingerprint(url, model)}"',
    }


def has_current(request: Request, etag: str) -> bool:
    """Whether who asks has what carries this tag (RFC 9110, section 13.1.2)."""
    tags = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    return etag in tags or tags == ["*"]


def _fingerprint(url: str, model: Model) -> str:
    """Of all that a file's bytes depend on: the address, and what makes and encodes the samples."""
    made_by = model.loaded.provenance
    parts = (url, made_by.device, made_by.onnxruntime_version, PIL.__version__)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
