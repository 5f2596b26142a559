"""Which limits a due run stands before, and who holds the places that it waits for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from django.db.models import Q, QuerySet

from django_tasks_durable.authoring.registry import registered
from django_tasks_durable.authoring.tasks import options_of
from django_tasks_durable.conf import durable_aliases, get_options
from django_tasks_durable.limits import Bucket, QueueLimits, Rate
from django_tasks_durable.models import KeptKey, Slot, TaskRun
from django_tasks_durable.primitives.lanes import Lane, SlotKind, SlotName, names_in, said_in
from django_tasks_durable.primitives.status import LEASED, RunStatus

from .instants import now
from .read import Narrow, runs, summaries
from .shapes import RunSummary


@dataclass(frozen=True, kw_only=True)
class Full:
    """A limit that has no room: ``held`` of ``most`` places are taken, or the ``rate`` is used up for so many ``seconds``.

    ``kind`` is key, task, queue, global or rate.
    """

    kind: str
    slot: SlotName
    name: str = ""
    held: int = 0
    most: int | None = None
    rate: Rate | None = None
    seconds: float | None = None


def full(run: RunSummary, of_queue: QueueLimits, *, using: str) -> list[Full]:
    """Return the limits that hold a run back, of those of its key, its task, its queue, and all tasks together."""
    found = list(_limits(run, of_queue, using))
    if not found:
        return []
    held = _held(using)
    taken = [
        Full(kind=slot.kind.value, slot=slot, name=name, held=held[slot], most=most)
        for slot, name, most, _rate in found
        if most is not None and held[slot] >= most
    ]
    rates = {slot: rate for slot, _name, _most, rate in found if rate is not None}
    return [*taken, *(_spent(rates, using) if rates else [])]


def _limits(
    run: RunSummary, of_queue: QueueLimits, using: str
) -> Iterator[tuple[SlotName, str, int | None, Rate | None]]:
    options, lane, key = TaskRun.objects.using(using).values_list("options", "lane", "concurrency_key").get(pk=run.id)
    said = said_in(options)
    rate = Rate.of(said["rate"]) if "rate" in said else None
    for slot in Lane.of(lane).names if lane else ():
        if slot.kind is SlotKind.KEY:
            yield slot, key, said.get("concurrency_limit", 1), rate
        else:
            task = registered().get(run.task_path)
            most = said.get("concurrency") if task is None else options_of(task).concurrency
            yield slot, run.name, most, None if key else rate
    if of_queue:
        yield SlotName(SlotKind.QUEUE, run.queue_name), run.queue_name, of_queue.concurrency, of_queue.rate
    everything = get_options(run.backend).global_concurrency if run.backend in durable_aliases() else None
    if everything is not None:
        yield SlotName(SlotKind.GLOBAL), "", everything, None


def _held(using: str) -> Counter[SlotName]:
    """Count who holds what, as a claim does: runs in workers' hands, and those that keep their key while they wait."""
    found: Counter[SlotName] = Counter()
    leased = TaskRun.objects.using(using).filter(status__in=LEASED).order_by()
    for slots, queue_name in leased.values_list("slots", "queue_name"):
        found.update([SlotName(SlotKind.GLOBAL), SlotName(SlotKind.QUEUE, queue_name)])
        found.update(names_in(slots) if slots else ())
    for slots in _kept(using).values_list("slots", flat=True):
        found.update(name for name in names_in(slots) if name.kind is SlotKind.KEY)
    return found


def _kept(using: str) -> QuerySet[KeptKey]:
    return KeptKey.objects.using(using).filter(run__status__in=(RunStatus.READY, RunStatus.WAITING))


def _spent(rates: dict[SlotName, Rate], using: str) -> list[Full]:
    wanted = Q()
    for slot in rates:
        wanted |= Q(kind=slot.kind.value, name=slot.name)
    found = []
    rows = Slot.objects.using(using).filter(wanted).annotate(read_at=now()).order_by("kind", "name")
    for kind, name, tokens, refilled_at, read_at in rows.values_list(
        "kind", "name", "tokens", "refilled_at", "read_at"
    ):
        slot = SlotName(SlotKind(kind), name)
        seconds = Bucket(tokens, refilled_at, read_at).wait(rates[slot])
        if seconds > 0:
            found.append(Full(kind="rate", slot=slot, rate=rates[slot], seconds=seconds))
    return found


def holders(full: Full, *, using: str, narrow: Narrow, limit: int) -> list[RunSummary]:
    """Read the first runs that hold the places of a limit, of those that ``narrow`` keeps; none for a rate."""
    leased = Q(status__in=LEASED)
    match full.kind:
        case "key":
            keeping = _kept(using).filter(slots__endswith=full.slot.name).values("run_id")
            which = leased & Q(slots__endswith=full.slot.name) | Q(pk__in=keeping)
        case "task":
            which = leased & Q(slots__startswith=full.slot.name)
        case "queue":
            which = leased & Q(queue_name=full.slot.name)
        case "global":
            which = leased
        case _:
            return []
    return summaries(narrow(runs(using=using)).filter(which).order_by("id")[:limit])
