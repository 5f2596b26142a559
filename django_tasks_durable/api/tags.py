"""Answers that a caller may hold already: an ``ETag``, and 304 for who names it."""

from __future__ import annotations

from hashlib import sha256

from django.utils.http import parse_etags, quote_etag
from rest_framework.request import Request
from rest_framework.response import Response

from .wire import Json


def unless_known(request: Request, response: Response) -> Response:
    """Return the response with its ``ETag``, or 304 in its place if ``If-None-Match`` names it.

    The tag is of what this caller may see, word for word: a state may change by the clock alone, without a new version.
    """
    tag = quote_etag(sha256(Json().render(response.data)).hexdigest()[:32])
    known = parse_etags(request.headers.get("If-None-Match", ""))
    if "*" in known or tag in {each.removeprefix("W/") for each in known}:
        response = Response(status=304)
    response["ETag"] = tag
    return response
