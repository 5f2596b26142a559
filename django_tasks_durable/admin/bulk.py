"""One act on many runs: each by itself, and what became of each is said."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext, ngettext

from django_tasks_durable.models import TaskRun
from django_tasks_durable.snapshots import read
from django_tasks_durable.snapshots.shapes import Act, RunSummary
from django_tasks_durable.snapshots.text import plain

from .acts import Outcome

MOST_AT_ONCE = 1000
MOST_REFUSALS_SAID = 10

Refusal = tuple[RunSummary, str]


def perform_all(
    request: HttpRequest, act: Act, queryset: QuerySet[TaskRun], perform: Callable[[RunSummary], Outcome]
) -> None:
    """Act on each chosen run and say what became of each: never all or nothing."""
    chosen = read.summaries(queryset[: MOST_AT_ONCE + 1])
    refused: list[Refusal] = []
    for run in chosen[:MOST_AT_ONCE]:
        refusal = perform(run).refusal if act in run.acts else not_now(run)
        if refusal:
            refused.append((run, refusal))
    done = min(len(chosen), MOST_AT_ONCE) - len(refused)
    if done:
        said = ngettext("%(act)s: %(count)d task.", "%(act)s: %(count)d tasks.", done)
        messages.success(request, said % {"act": act.label, "count": done})
    _say_refusals(request, act, refused)
    if len(chosen) > MOST_AT_ONCE:
        messages.warning(request, gettext("Only the first %d were looked at; do it again for the rest.") % MOST_AT_ONCE)


def _say_refusals(request: HttpRequest, act: Act, refused: Sequence[Refusal]) -> None:
    for run, why in refused[:MOST_REFUSALS_SAID]:
        said = gettext("%(act)s: skipped %(task)s %(id)s: %(why)s")
        messages.warning(
            request, said % {"act": act.label, "task": plain(run.name), "id": run.short_id, "why": plain(why)}
        )
    if len(refused) > MOST_REFUSALS_SAID:
        messages.warning(request, gettext("… and %d more were skipped.") % (len(refused) - MOST_REFUSALS_SAID))


def not_now(run: RunSummary) -> str:
    """Say that a run is in a state in which the act is not offered."""
    return gettext("it is %(state)s.") % {"state": run.state.label.lower()}
