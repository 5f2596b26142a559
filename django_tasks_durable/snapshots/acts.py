"""What people may do to a run."""

from __future__ import annotations

from enum import Enum

from django.utils.translation import pgettext_lazy


class Act(Enum):
    """What an operator may ask of a run."""

    CANCEL = "cancel", pgettext_lazy("Act", "Cancel")
    RETRY = "retry", pgettext_lazy("Act", "Retry")
    RESUME = "resume", pgettext_lazy("Act", "Answer")
    RUN_NOW = "run_now", pgettext_lazy("Act", "Run now")
    COPY = "copy", pgettext_lazy("Act", "Run again as a copy")
    FORK = "fork", pgettext_lazy("Act", "Fork")

    def __init__(self, slug: str, label: str) -> None:
        self.slug = slug
        self.label = label
