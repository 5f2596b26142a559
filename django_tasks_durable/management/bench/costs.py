"""What a run costs the database and the worker, observed while it is done, and what the model makes of that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from os import cpu_count
from pathlib import Path
from typing import Any

from django_tasks_durable.primitives import clock
from django_tasks_durable.store import vendors

from . import model, rows, scenes, tasks
from .crew import Crew, processor_seconds
from .measuring import Measuring

ROUND_TRIPS = 2_000
MESSAGE_BYTES = 2**20


class NotModelled(Exception):
    """This database or system does not tell what the model needs."""


@dataclass(frozen=True, slots=True)
class _Counters:
    """What has been used so far."""

    wal_bytes: float
    worker_seconds: float
    server_seconds: float

    def since(self, other: _Counters) -> _Counters:
        return _Counters(*(getattr(self, each.name) - getattr(other, each.name) for each in fields(self)))


def observe(measuring: Measuring) -> None:
    """Measure what runs and steps cost, predict from that how many a second are possible, and measure that, too."""
    if measuring.limits.facts()["vendor"] != "postgresql":
        raise NotModelled("only PostgreSQL tells how much WAL it has written")
    machine = _machine(measuring)
    count, steps = measuring.size(10_000, least=1_000), measuring.size(1_000, least=50)
    drained = _cost(lambda: rows.fill(tasks.anothing, count), count)
    stepped = _cost(lambda: rows.fill(tasks.sequential, 1, (steps,)), steps)
    with Crew(1) as crew:
        crew.warm(tasks.anothing, measuring.size(1_000, least=20))
        one = _median(measuring, lambda: crew.drain(tasks.anothing, count))
        alone = _median(measuring, lambda: scenes.take_steps(crew, tasks.sequential, 1, steps))
    with Crew(2) as crew:
        crew.warm(tasks.anothing, measuring.size(1_000, least=20))
        two = _median(measuring, lambda: crew.drain(tasks.anothing, 2 * count))
    measuring.model = {
        "machine": asdict(machine),
        "lines": [
            model.line("drain, async, 1 worker", drained, model.predict(drained, machine), one),
            model.line("drain, async, 2 workers", drained, model.predict(drained, machine, workers=2), two),
            model.line("steps in one run", stepped, model.predict(stepped, machine, waits=True), alone),
        ],
        "scale": list(model.scale(drained, machine)),
    }


def _machine(measuring: Measuring) -> model.Machine:
    session = vendors.session()
    begun = clock.monotonic()
    for _ in range(ROUND_TRIPS):
        session.execute("SELECT 1")
    round_trip = (clock.monotonic() - begun) / ROUND_TRIPS
    commit = max(1 / measuring.limits.measure("insert_commits_per_s") - round_trip, 0.0)
    begun = clock.monotonic()
    for _ in range(messages := measuring.size(50, least=5)):
        # A message that nobody reads is WAL and nothing else.
        session.execute("SELECT pg_logical_emit_message(TRUE, 'benchtasks', repeat('x', %s))", (MESSAGE_BYTES,))
    wal = messages * MESSAGE_BYTES / (clock.monotonic() - begun)
    return model.Machine(
        cores=cpu_count() or 1, round_trip_seconds=round_trip, commit_seconds=commit, wal_bytes_per_s=wal
    )


def _cost(fill: Callable[[], Sequence[object]], units: int) -> model.Cost:
    """Let one worker do it twice, once with its counters and once without, so that these cost nothing."""
    with Crew(1, role="count") as crew:
        _do(crew, fill)  # what is only made once
        before = crew.counts()
        _do(crew, fill)
        told = {name: (count - before[name]) / units for name, count in crew.counts().items()}
    filling = _wal_of(fill)
    with Crew(1) as crew:
        _do(crew, fill)
        rows.empty()
        before_it = _counters(crew)
        with crew.drained():
            fill()
        used = _counters(crew).since(before_it)
    return model.Cost(
        statements=told["statements"],
        commits=told["commits"],
        # Of very few units a page more or less, or a tick of the clock, may be all that is seen.
        wal_bytes=max(used.wal_bytes - filling, 1.0) / units,
        worker_seconds=max(used.worker_seconds, 1e-3) / units,
        server_seconds=used.server_seconds / units,
    )


def _do(crew: Crew, fill: Callable[[], Any]) -> None:
    rows.empty()
    with crew.drained():
        fill()


def _median(measuring: Measuring, scene: Callable[[], float]) -> float:
    return sorted(scene() for _ in range(measuring.rounds))[measuring.rounds // 2]


def _wal_of(fill: Callable[[], Any]) -> float:
    """Tell how much WAL it writes to fill the table, with nobody at work."""
    rows.empty()
    before = _wal_bytes()
    fill()
    written = _wal_bytes() - before
    rows.empty()
    return written


def _counters(crew: Crew) -> _Counters:
    session = vendors.session()
    ours = session.execute("SELECT pg_backend_pid()")[0][0]
    others = [pid for (pid,) in session.execute("SELECT pid FROM pg_stat_activity") if pid != ours]
    # What a server elsewhere works is not told; the model then takes it for nothing.
    server = sum(processor_seconds(pid) or 0.0 for pid in others if _is_postgres(pid))
    if (worker := crew.processor_seconds()) is None:
        raise NotModelled("this system does not tell how long a process has worked")
    return _Counters(_wal_bytes(), worker, server)


def _is_postgres(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == "postgres"
    except OSError:
        return False


def _wal_bytes() -> float:
    return float(vendors.session().execute("SELECT pg_current_wal_lsn() - '0/0'")[0][0])
