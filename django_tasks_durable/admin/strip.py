"""The strip above the list: each state with its count, and how the house stands."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext

from django_tasks_durable.primitives.status import State
from django_tasks_durable.snapshots.house import Overview
from django_tasks_durable.snapshots.text import duration

from . import look

ALWAYS_SHOWN = frozenset({State.QUEUED, State.RUNNING, State.WAITING, State.FAILED, State.SUCCEEDED})


def tabs(overview: Overview, changelist: Any, *, chosen: str) -> list[dict[str, Any]]:
    """Return the way to each state, those that are empty and rare left out."""
    everything = changelist.get_query_string(remove=["p", "state"])
    shown = [{"label": gettext("All"), "url": everything, "is_chosen": not chosen}]
    shown += [
        {
            "label": state.label,
            "state": state.value,
            "icon": look.icon(state),
            "count": count,
            "url": changelist.get_query_string({"state": state.value}, ["p"]),
            "is_chosen": chosen == state.value,
        }
        for state, count in overview.counts.items()
        if count.value or chosen == state.value or state in ALWAYS_SHOWN
    ]
    return shown


def tiles(overview: Overview) -> list[tuple[str, str, str]]:
    """Return what is told in one figure each: its name, the figure, and whether that is bad."""
    workers = overview.workers_alive
    oldest = overview.oldest_ready_seconds
    return [
        (gettext("Workers alive"), str(workers), "" if workers else "bad"),
        (gettext("Oldest due task"), duration(oldest) or gettext("none"), "bad" if oldest and oldest > 60 else ""),
        (gettext("Waiting for an answer"), str(overview.waits_pending), ""),
    ]
