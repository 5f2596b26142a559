"""Where runs and their timelines stand, in as few words as possible: for those who tail what is committed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Q, QuerySet

from django_tasks_durable.models import Step, TaskRun

from .parts import TimelineLine
from .read import Narrow, line


@dataclass(frozen=True, slots=True)
class Reached:
    """How far a run has come: its version, and the sequence of its last line."""

    version: int
    sequence: int


def places(run_ids: Collection[UUID], *, using: str) -> dict[UUID, Reached]:
    """Read where some runs stand; those that are gone are left out."""
    return _places(TaskRun.objects.using(using).filter(pk__in=list(run_ids)))


def newest(limit: int, *, using: str) -> dict[UUID, Reached]:
    """Read where the newest runs stand."""
    return _places(TaskRun.objects.using(using).order_by("-id")[:limit])


def _places(queryset: QuerySet[TaskRun]) -> dict[UUID, Reached]:
    rows = queryset.values_list("pk", "version", "last_sequence")
    return {run_id: Reached(version, sequence) for run_id, version, sequence in rows}


def last_lines(limit: int, *, using: str) -> list[int]:
    """Read the ids of the last lines that anybody wrote, ascending."""
    return sorted(Step.objects.using(using).order_by("-id").values_list("id", flat=True)[:limit])


def written_since(cursor: int, missing: Collection[int], *, limit: int, using: str) -> list[tuple[int, UUID]]:
    """Read the ids of the lines behind one, ascending, and of the ``missing`` ones that are there now; each with its run."""
    wanted = Q(id__gt=cursor)
    if missing:
        wanted |= Q(id__in=list(missing))
    return list(Step.objects.using(using).filter(wanted).order_by("id").values_list("id", "run_id")[:limit])


def lines_between(bounds: Mapping[UUID, tuple[int, int]], *, limit: int, using: str) -> dict[UUID, list[TimelineLine]]:
    """Read the lines of runs above the first bound of each, up to and with the second, ascending, ``limit`` in all."""
    wanted = Q()
    for run_id, (after, last) in bounds.items():
        wanted |= Q(run_id=run_id, sequence__gt=after, sequence__lte=last)
    lines: dict[UUID, list[TimelineLine]] = defaultdict(list)
    if bounds:
        for step in Step.objects.using(using).filter(wanted).order_by("run_id", "sequence")[:limit]:
            lines[step.run_id].append(line(step))
    return dict(lines)


def kept(run_ids: Iterable[UUID], queryset: QuerySet[TaskRun], narrow: Narrow) -> frozenset[UUID]:
    """Return those of the runs of a queryset that ``narrow`` keeps."""
    return frozenset(narrow(queryset.filter(pk__in=list(run_ids))).order_by().values_list("pk", flat=True))
