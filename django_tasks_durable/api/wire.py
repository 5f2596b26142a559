"""How bodies are read and written: JSON, strictly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer

from django_tasks_durable.backend.bodies import read_json
from django_tasks_durable.snapshots import places

# Beside the largest payload there are the names around it.
AROUND_A_PAYLOAD = 16_384


class JsonBody(BaseParser):
    """JSON of no more bytes than a payload may have and some around it. Raise PayloadTooLarge or NotJson."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        """Read a body."""
        told = parser_context["request"].META.get("CONTENT_LENGTH") if parser_context else None
        return read_json(stream, told, places.first().max_payload_bytes + AROUND_A_PAYLOAD)


class ByHeader(DefaultContentNegotiation):
    """What is answered in is chosen by the Accept header only: ``format`` is no parameter of ours."""

    settings: Any = SimpleNamespace(URL_FORMAT_OVERRIDE=None)


class Json(BaseRenderer):
    """JSON of ASCII characters only: whatever text a task told can be sent."""

    media_type = "application/json"
    format = "json"
    charset = None  # JSON has none to choose

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        """Write a body; a number that JSON does not have, as its word."""
        if data is None:
            return b""
        try:
            return json.dumps(data, allow_nan=False, separators=(",", ":")).encode("ascii")
        except ValueError:
            told = json.loads(json.dumps(data), parse_constant=str)
            return json.dumps(told, separators=(",", ":")).encode("ascii")


class Text(BaseRenderer):
    """Lines of text, as Prometheus reads them."""

    media_type = "text/plain"
    format = "txt"
    charset = "utf-8"

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        """Write text; of an error its message."""
        told = data.get("message", "") if isinstance(data, Mapping) else data
        return str(told).encode()
