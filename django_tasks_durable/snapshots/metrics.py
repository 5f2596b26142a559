"""What a monitoring system asks for every few seconds: figures that are quick to read on a table of any size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from . import charts, house, queues
from .charts import Window
from .read import Narrow, everything

Sample = tuple[Mapping[str, str], float]
CONDITIONS = ("alive", "late", "dead", "stopped")


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A figure with its name, what it is, and its values by labels. All are gauges."""

    name: str
    help: str
    samples: Sequence[Sample]


_sources: list[Callable[[], Iterable[Metric]]] = []


def also_from(source: Callable[[], Iterable[Metric]]) -> None:
    """Let figures of this process be told beside those of the database."""
    if source not in _sources:
        _sources.append(source)


def metrics(*, using: str, narrow: Narrow = everything) -> Iterator[Metric]:
    """Read all figures, of the runs that ``narrow`` keeps; what is counted of all runs only without it."""
    overview = house.overview(using=using, narrow=narrow)
    yield Metric(
        name="tasks",
        help="Tasks by state, each counted up to 10,000.",
        samples=[({"state": state.value}, count.value) for state, count in overview.counts.items()],
    )
    yield _one("waits_pending", "Questions that wait for an answer, up to 10,000.", overview.waits_pending.value)
    yield from _about_queues(queues.queues(using=using, narrow=narrow))
    yield from _about_workers(house.workers(using=using, narrow=narrow))
    for source in _sources:
        yield from source()
    if narrow is everything:
        yield from _about_the_last_hour(using)


def _one(name: str, text: str, value: float) -> Metric:
    return Metric(name=name, help=text, samples=[({}, value)])


def _about_queues(found: Iterable[queues.QueueSnapshot]) -> Iterator[Metric]:
    found = list(found)
    yield Metric(
        name="open",
        help="Open tasks by queue: due, later, held by workers, waiting.",
        samples=[
            ({"queue": each.queue_name, "kind": kind}, getattr(each, kind))
            for each in found
            for kind in ("due", "later", "held", "waiting")
        ],
    )
    yield Metric(
        name="oldest_due_seconds",
        help="How long the first due task of each queue has been due; 0 with none.",
        samples=[({"queue": each.queue_name}, each.oldest_due_seconds or 0.0) for each in found],
    )
    yield Metric(
        name="queue_paused",
        help="Whether somebody paused the queue.",
        samples=[({"queue": each.queue_name}, float(each.is_paused)) for each in found],
    )
    yield Metric(
        name="queue_workers",
        help="Living workers that serve the queue.",
        samples=[({"queue": each.queue_name}, each.workers_alive) for each in found],
    )


def _about_workers(found: Sequence[house.WorkerSnapshot]) -> Iterator[Metric]:
    conditions = Counter(each.condition for each in found)
    yield Metric(
        name="workers",
        help="Workers by condition; a late one has missed its heartbeats.",
        samples=[({"condition": each}, conditions[each]) for each in CONDITIONS],
    )
    living = [each for each in found if each.condition in ("alive", "late")]
    yield _one(
        "heartbeat_failures",
        "Heartbeats of the living workers that failed since they started.",
        sum(each.failed_heartbeats for each in living),
    )
    yield _one(
        "workers_deaf",
        "Living workers that poll although the database should wake them.",
        sum(bool(each.deaf_because) for each in living),
    )
    lapsed = [each for each in found if each.held and each.condition != "alive"]
    yield _one(
        "lost", "Tasks held by a worker whose lease has ended or that has left.", sum(each.held for each in lapsed)
    )
    yield _one(
        "oldest_expired_lease_seconds",
        "How long ago the first of these leases ended; 0 with none.",
        max((each.lapsed_seconds for each in lapsed), default=0.0),
    )


def _about_the_last_hour(using: str) -> Iterator[Metric]:
    total = charts.chart(Window.HOUR, using=using).total
    yield Metric(
        name="last_hour",
        help="What tasks did within the last hour, up to a minute ago.",
        samples=[({"event": name}, getattr(total, name)) for name in charts.COUNTS],
    )
