"""Why a task does not move, ready for the top of its page: in words, with who is meant and the switch that helps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.utils.translation import gettext as _

from django_tasks_durable.snapshots.shapes import RunSnapshot
from django_tasks_durable.snapshots.standstill import Standstill
from django_tasks_durable.snapshots.text import duration

from .family import Relative, relative

COMMAND = "manage.py "


@dataclass(frozen=True, kw_only=True)
class StandingView:
    """One thing that a task waits for. ``command`` is what helps on a terminal, ``unpause_url`` what helps here."""

    code: str
    message: str
    until: str
    hint: str
    command: str
    unpause_url: str
    needs_somebody: bool
    runs: Sequence[Relative]


def standing_views(
    found: Sequence[Standstill], run: RunSnapshot, *, address: Callable[[UUID], str], unpause_url: str
) -> Iterator[StandingView]:
    """Return why a task does not move as its page shows it."""
    for each in found:
        is_command = each.hint.startswith(COMMAND) and "\n" not in each.hint
        yield StandingView(
            code=each.code,
            message=each.message,
            until=_until(each.seconds),
            hint="" if is_command else each.hint,
            command=each.hint if is_command else "",
            unpause_url=unpause_url if each.code == "PAUSED" else "",
            needs_somebody=each.needs_somebody,
            runs=[relative(other, address) for other in each.runs],
        )


def title(run: RunSnapshot) -> str:
    """Return what stands above it."""
    return _("What holds it up") if run.is_leased else _("Why it is not running")


def _until(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return _("in %s") % duration(seconds) if seconds > 0 else _("overdue by %s") % duration(-seconds)
