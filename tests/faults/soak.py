"""A storm of everything at once: `python -m tests.faults --soak MINUTES`.

Four workers, one of which is killed every half to three seconds; a PostgreSQL that crashes every minute; runs of five steps, a
third of them with a limited key, and a schedule of a second. A fifth worker is spared: by it one sees whether memory grows.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

T = TypeVar("T")
RUNS_PER_MINUTE = 2000 / 30
WORKERS = 4
STEPS = 5
LIMIT = 3
LEASE_SECONDS = 5.0
OPTIONS = {"lease_seconds": LEASE_SECONDS, "heartbeat_seconds": 0.5, "sweep_seconds": 0.5, "poll_seconds": 0.5}
# How long the rest may take when the storm is over, on a machine that others use, too.
CALM_SECONDS = 900.0
# What a process may grow by in its second half, beside a tenth of what it has.
GROWTH_MB = 8.0


def patiently(look: Callable[[], T]) -> T:
    """Ask the database, again if it goes away meanwhile."""
    from django.db import DatabaseError, connection

    while True:
        try:
            return look()
        except DatabaseError:
            connection.close()
            time.sleep(0.2)


class Storm:
    """What is done, and what was seen."""

    def __init__(self, server: Any, yard: Any, minutes: float, chance: random.Random) -> None:
        self.server = server
        self.yard = yard
        self.seconds = minutes * 60
        self.wanted = round(RUNS_PER_MINUTE * minutes)
        self.chance = chance
        self.accepted: list[UUID] = []
        self.seen: Counter[str] = Counter()
        self.memory: list[float] = []
        self.over = threading.Event()

    def play(self) -> None:
        """Do everything at once, then let everything come to its end."""
        threads = [threading.Thread(target=act, daemon=True) for act in (self.produce, self.watch, self.crash_server)]
        spared = self.yard.start("--concurrency", "3", options=OPTIONS)
        for thread in threads:
            thread.start()
        self.kill_workers(spared)
        self.over.set()
        for thread in threads:
            thread.join(120)
        self.measure(spared)
        self.calm_down()

    def start_worker(self) -> Any:
        """Start one of the four."""
        return self.yard.start("--concurrency", "3", options=OPTIONS)

    def kill_workers(self, spared: Any) -> None:
        """Kill one of four at random, again and again; one that has not begun to serve is let be."""
        alive = [self.start_worker() for _ in range(WORKERS)]
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            time.sleep(self.chance.uniform(0.5, 3))
            self.measure(spared)
            serving = [worker for worker in alive if "serves" in worker.output]
            if serving:
                victim = self.chance.choice(serving)
                alive.remove(victim)
                victim.process.kill()
                victim.process.wait()
                self.seen["kills"] += 1
                alive.append(self.start_worker())
            assert spared.is_alive, f"the worker that is spared has died:\n{spared.output[-3000:]}"

    def measure(self, worker: Any) -> None:
        """Note how much memory a worker has."""
        pages = int(Path(f"/proc/{worker.pid}/statm").read_text().split()[1])
        self.memory.append(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)

    def produce(self) -> None:
        """Enqueue at an even pace, and keep the ids that the database has acknowledged."""
        from django.db import DatabaseError, connections

        from tests.probe import tasks

        plain = tasks.counts.using(max_deliveries=100)
        limited = tasks.counts.using(max_deliveries=100, concurrency_key="few", concurrency_limit=LIMIT)
        while len(self.accepted) < self.wanted and not self.over.is_set():
            try:
                self.accepted.append((limited if len(self.accepted) % 3 == 0 else plain).enqueue(STEPS).run_id)
            except DatabaseError:
                self.seen["refused"] += 1
                connections["default"].close()
            # The last tenth of the time is for what was enqueued before.
            time.sleep(self.seconds * 0.9 / self.wanted)
        connections.close_all()

    def watch(self) -> None:
        """Count how many runs of the limited key are leased."""
        from django.db import connections

        from django_tasks_durable.models import TaskRun
        from django_tasks_durable.primitives.status import LEASED

        while not self.over.wait(0.1):
            held = patiently(lambda: TaskRun.objects.filter(concurrency_key="few", status__in=LEASED).count())
            self.seen["most"] = max(self.seen["most"], held)
            self.seen["looks"] += 1
        connections.close_all()

    def crash_server(self) -> None:
        """Let PostgreSQL crash every minute, and start it again at once."""
        while not self.over.wait(60):
            self.server.stop("immediate")
            self.server.start()
            self.seen["crashes"] += 1

    def calm_down(self) -> None:
        """Stop the schedule, wait for every run, and let the workers go."""
        from django_tasks_durable.models import Schedule, TaskRun
        from django_tasks_durable.primitives.status import FINISHED

        patiently(lambda: Schedule.objects.update(paused=True))
        end = time.monotonic() + CALM_SECONDS
        while (
            left := patiently(lambda: TaskRun.objects.exclude(status__in=FINISHED).count())
        ) and time.monotonic() < end:
            time.sleep(0.5)
        assert not left, f"{left} runs do not end:\n{self.yard.story()}"
        for worker in self.yard.workers:
            if worker.is_alive:
                worker.send(signal.SIGTERM)
        for worker in self.yard.workers:
            worker.process.wait(120)


def judge(storm: Storm) -> dict[str, Any]:
    """Hold the storm to the promises, and tell what was seen. Raise AssertionError saying what was broken."""
    from django_tasks_durable.models import Step, TaskRun
    from django_tasks_durable.primitives.status import LEASED, StepKind
    from tests.faults.harness import oracle
    from tests.probe import journal, tasks
    from tests.probe.models import Effect

    rows = list(TaskRun.objects.all())
    assert {row.id for row in rows} >= set(storm.accepted), "a run that was acknowledged is gone"
    oracle(row.id for row in rows)
    assert Counter(row.status for row in rows) == {"SUCCESSFUL": len(rows)}, Counter(row.error_code for row in rows)
    counted = [row for row in rows if row.task_path == tasks.counts.module_path]
    kept = Counter(Effect.objects.values_list("run_id", "name"))
    assert set(kept.values()) == {1}, "an atomic effect was kept twice"
    assert len(kept) == len(counted) * (STEPS // 2), "an atomic effect is missing"
    done = Counter((d["run"], d["number"]) for d in journal.deeds(storm.yard.journal) if d["deed"] == "plain")
    assert len(done) == len(counted) * (STEPS - STEPS // 2), "a plain step was never done"
    assert 0 < storm.seen["most"] <= LIMIT, f"{storm.seen['most']} runs of the limited key were held at once"
    assert not TaskRun.objects.filter(status__in=LEASED).exists(), "a place is still taken"
    return {
        "runs": len(counted),
        "kills": storm.seen["kills"],
        "crashes of PostgreSQL": storm.seen["crashes"],
        "lost": 0,
        "atomic effects twice": 0,
        "delivered again": Step.objects.filter(kind=StepKind.STALE).count(),
        "plain steps done again": sum(done.values()) - len(done),
        "ticks, each with one run": _judge_ticks(),
        f"most of {LIMIT} places taken at once": storm.seen["most"],
        "looks at them": storm.seen["looks"],
        "connections and locks left": _judge_connections(),
        "memory of the spared worker (MB)": _judge_memory(storm.memory),
    }


def _judge_ticks() -> int:
    """Say that each second from the first to the last was decided once, and that each run knows its tick."""
    from django_tasks_durable.models import TaskRun, Tick
    from tests.probe import tasks

    ticks = list(Tick.objects.order_by("tick"))
    gaps = {later.tick - tick.tick for tick, later in pairwise(ticks)}
    assert gaps == {timedelta(seconds=1)}, f"ticks are {gaps} apart"
    runs = [tick.run_id for tick in ticks if tick.run_id]
    made = set(TaskRun.objects.filter(task_path=tasks.echo.module_path).values_list("pk", flat=True))
    assert len(set(runs)) == len(runs), "a run belongs to two ticks"
    assert set(runs) == made, "a run without a tick, or a tick without its run"
    return len(ticks)


def _judge_connections() -> int:
    """Say that nobody but this process is connected, and that nothing is locked."""
    from django.db import connection

    others = "datname = current_database() AND pid <> pg_backend_pid()"

    def left() -> int:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM pg_stat_activity WHERE {others}")
            (found,) = cursor.fetchone()
            # Advisory locks are among them.
            cursor.execute("SELECT count(*) FROM pg_locks WHERE pid <> pg_backend_pid() AND locktype <> 'virtualxid'")
            (locks,) = cursor.fetchone()
            cursor.execute(
                "SELECT (SELECT count(*) FROM pg_replication_slots) + (SELECT count(*) FROM pg_prepared_xacts)"
            )
            return int(found) + int(locks) + int(cursor.fetchone()[0])

    end = time.monotonic() + 30
    while left() and time.monotonic() < end:
        time.sleep(0.5)
    assert left() == 0, "connections or locks are left"
    return 0


def _judge_memory(samples: list[float]) -> str:
    """Say that the spared worker has not grown in its second half."""
    third = max(1, len(samples) // 3)
    middle, last = sorted(samples[third : 2 * third])[third // 2], sorted(samples[-third:])[third // 2]
    assert last <= middle * 1.1 + GROWTH_MB, f"it has grown from {middle:.0f} to {last:.0f} MB"
    return f"{middle:.0f}, then {last:.0f}"


def main() -> int:
    """Play one storm; write down what was seen; return 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults --soak", description=__doc__)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--keep", type=Path)
    chosen = parser.parse_args()

    from tests import embedded_postgres
    from tests.faults.nursery import OURS, Nursery
    from tests.faults.proxy import free_port

    with (
        embedded_postgres.Server(durable=True, port=free_port()) as server,
        tempfile.TemporaryDirectory(prefix="durable-soak-") as folder,
    ):
        os.environ.update({**OURS, "DATABASE_URL": server.url()})
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", run_syncdb=True, verbosity=0)
        nursery = Nursery(dict(os.environ))
        return _soak(server, nursery, Path(folder), chosen.minutes, chosen.keep)


def _soak(server: Any, nursery: Any, folder: Path, minutes: float, keep: Path | None) -> int:
    from tests.faults.harness import Yard
    from tests.faults.ledger import machine
    from tests.faults.test_schedules import every_second

    yard = Yard(dict(os.environ), folder, nursery)
    seed = random.SystemRandom().randrange(1 << 32)
    storm = Storm(server, yard, minutes, random.Random(seed))
    every_second()
    told: dict[str, Any] = {"minutes": minutes, "verdict": "green"}
    began = time.monotonic()
    try:
        storm.play()
        told |= judge(storm)
    except AssertionError as error:
        told |= {"verdict": "a promise was broken", "what": str(error)[:500], **storm.seen}
        print(error, file=sys.stderr)
    finally:
        yard.close()
        nursery.close()
    told |= {"seconds in all": round(time.monotonic() - began), "seed": seed, "on": machine()}
    print(json.dumps(told, indent=1))
    if keep is not None:
        soaks = json.loads(keep.read_text()) if keep.exists() else []
        keep.write_text(json.dumps([*soaks, told], indent=1) + "\n")
    return int(told["verdict"] != "green")


if __name__ == "__main__":
    sys.exit(main())
