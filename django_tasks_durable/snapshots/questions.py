"""What a question asks and offers, in words, for whoever shows it to a person."""

from __future__ import annotations

import json
from typing import Any

from django.utils.translation import gettext as _

from .parts import WaitSnapshot
from .text import plain

MOST_CHOICES = 12


def question_of(request: Any) -> str:
    """Return the words of a question: the request itself, or what it has under a usual name."""
    if isinstance(request, str):
        return plain(request)
    if isinstance(request, dict):
        for key in ("question", "message", "title"):
            if isinstance(request.get(key), str):
                return plain(request[key])
    return ""


def choices_of(wait: WaitSnapshot, request: Any) -> list[tuple[str, str]]:
    """Return what a request offers to choose from, as JSON and as words: a list, or a mapping to words.

    An approval that offers nothing and has no form is approved or rejected.
    """
    offered = request.get("choices") if isinstance(request, dict) else None
    if offered is None and wait.kind == "approval" and not wait.form:
        return [("true", _("Approve")), ("false", _("Reject"))]
    if not isinstance(offered, (list, dict)) or len(offered) > MOST_CHOICES:
        return []
    words = offered if isinstance(offered, dict) else {}
    return [
        (json.dumps(choice), plain(words.get(choice, choice) if isinstance(choice, str) else json.dumps(choice)))
        for choice in offered
        if isinstance(choice, (str, int, float, bool))
    ]
