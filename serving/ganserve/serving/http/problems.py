"""Errors as HTTP has them: a status, and a problem of RFC 9457."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from starlette.responses import Response

from ganserve.contract.errors import RequestError
from ganserve.contract.grpc_keys import REQUEST_ID_KEY

_STATUSES: Final = {
    "INVALID_ARGUMENT": HTTPStatus.BAD_REQUEST,
    "UNAUTHENTICATED": HTTPStatus.UNAUTHORIZED,
    "PERMISSION_DENIED": HTTPStatus.FORBIDDEN,
    "NOT_FOUND": HTTPStatus.NOT_FOUND,
    "FAILED_PRECONDITION": HTTPStatus.NOT_FOUND,  # a URL that names a digest which is not here
    "UNIMPLEMENTED": HTTPStatus.METHOD_NOT_ALLOWED,
    "RESOURCE_EXHAUSTED": HTTPStatus.TOO_MANY_REQUESTS,
    "UNAVAILABLE": HTTPStatus.SERVICE_UNAVAILABLE,
    "DEADLINE_EXCEEDED": HTTPStatus.GATEWAY_TIMEOUT,
}

_CHALLENGE: Final = 'Bearer, Basic realm="ganserve, with a token as the password", charset="UTF-8"'

# The longest of these that a field begins with names the part of the URL that it came from.
_PARTS_OF_URL: Final = {
    "query.model": "model",
    "query.labels": "class",
    "query.address.truncation": "truncation",
    "query.address.spread": "spread",
    "query.address": "index",
    "query.encoding.quality": "quality",
    "query.encoding": "format",
}


def problem_response(error: RequestError, request_id: str, *, allow: Sequence[str]) -> Response:
    """The reply that tells of an error, and by which id the log knows the request. No cache keeps it.

    Args:
        error: what is wrong.
        request_id: by which the log knows the request.
        allow: the methods that the path is asked for with.
    """
    status = _STATUSES.get(error.status, HTTPStatus.INTERNAL_SERVER_ERROR)
    problem = {"title": status.phrase, "status": status.value, "detail": str(error), "code": error.status}
    if error.field:
        problem["field"] = _part_of_url(error.field)
    headers = {"cache-control": "no-store", REQUEST_ID_KEY: request_id}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after_s)))
    if status is HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = _CHALLENGE
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        headers |= {"allow": ", ".join(allow), "connection": "close"}  # a body may follow that nobody reads
    return Response(json.dumps(problem), status.value, headers, media_type="application/problem+json")


def _part_of_url(field: str) -> str:
    found = [prefix for prefix in _PARTS_OF_URL if field.startswith(prefix)]
    return _PARTS_OF_URL[max(found, key=len)] if found else field
