"""The newest lines of all timelines, as entries: for somebody who watches the whole house."""

from __future__ import annotations

from django_tasks_durable.models import Step

from . import read
from .entries import Entry, as_entry
from .read import Narrow, everything
from .wire import Show, unveiled

LIMIT = 200


def newest(*, using: str, limit: int = LIMIT, narrow: Narrow = everything, show: Show = unveiled) -> list[Entry]:
    """Read the newest lines of the runs that ``narrow`` keeps, the oldest of them first. Takes two queries.

    Lines are not committed in the order of their ids: who reads on reads these again, and passes over what it knows by its
    ``(task_id, sequence)``.
    """
    lines = list(Step.objects.using(using).order_by("-id")[:limit])
    wanted = narrow(read.runs(using=using)).filter(pk__in={line.run_id for line in lines})
    runs = {run.id: run for run in read.summaries(wanted)}
    return [as_entry(read.line(line), runs[line.run_id], show=show) for line in reversed(lines) if line.run_id in runs]
