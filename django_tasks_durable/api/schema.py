"""The OpenAPI of our views, when drf-spectacular is installed; nothing of it is needed to serve them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

from rest_framework.serializers import Serializer

from .shapes import Problem

try:
    from drf_spectacular.openapi import AutoSchema
    from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
except ImportError:
    IS_INSTALLED = False
else:
    IS_INSTALLED = True

Method = TypeVar("Method", bound=Callable[..., Any])
Shape = type[Serializer[Any]]

#: What each view has as its ``schema``.
VIEW_SCHEMA: Any = AutoSchema() if IS_INSTALLED else None
TAG = "tasks"
_WORD = re.compile(r"(?<!^)(?=[A-Z])")
# Any call may be refused for these; each view adds its own.
ALWAYS = (400, 401, 403, 406, 429, 503)


def documented(
    summary: str,
    answers: Shape | type[str],
    *,
    status: int | tuple[int, ...] = 200,
    query: Shape | None = None,
    body: Shape | None = None,
    headers: tuple[str, ...] = (),
    refusals: tuple[int, ...] = (),
    is_tagged: bool = False,
) -> Callable[[Method], Method]:
    """Say what a method takes and answers. ``refusals`` are statuses of problems beside those that any call may end in.

    ``is_tagged`` answers have an ``ETag``, and are not told again to a caller who names it.
    """

    def decorate(method: Method) -> Method:
        if not IS_INSTALLED:
            return method
        statuses = (status,) if isinstance(status, int) else status
        always = (*ALWAYS, 413, 415) if body is not None else ALWAYS
        told: dict[Any, Any] = dict.fromkeys((*always, *refusals), OpenApiResponse(Problem))
        if is_tagged:
            told[304] = OpenApiResponse(description="It is as you know it.")
        for each in statuses:
            told[(each, "text/plain") if answers is str else each] = answers
        # Else DRF's own schema class would be extended, which knows nothing of this.
        method.schema = AutoSchema  # type: ignore[attr-defined]
        extended: Method = extend_schema(
            operation_id=_name_of(method),
            summary=summary,
            tags=[TAG],
            parameters=[
                *([query] if query is not None and query().fields else []),
                OpenApiParameter("format", exclude=True),
                *(
                    OpenApiParameter(name, str, OpenApiParameter.HEADER)
                    for name in (*headers, *(["If-None-Match"] if is_tagged else []))
                ),
            ],
            request=body,
            responses=told,
        )(method)
        return extended

    return decorate


def _name_of(method: Callable[..., Any]) -> str:
    view, _, verb = method.__qualname__.partition("View.")
    name = f"{TAG}_{_WORD.sub('_', view).lower()}"
    return f"{name}_{verb}" if verb == "delete" else name
