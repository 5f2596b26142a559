"""Connections that are cut, that go silent, and servers that take no writes: the workers stay, and no attempt is counted."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import UUID

import pytest
from django.db import OperationalError, connection, connections

from django_tasks_durable.models import TaskRun
from django_tasks_durable.primitives.status import FINISHED, RunStatus
from django_tasks_durable.store import intake
from example_project import databases
from tests import embedded_postgres
from tests.faults.harness import Yard, oracle, run_of, undisturbed_result, wait_end, wait_until
from tests.faults.proxy import Proxy, through
from tests.probe import journal, tasks
from tests.probe.models import Effect
from tests.store import acts

POSTGRESQL = pytest.mark.databases("postgresql")
SERVERS = pytest.mark.databases("postgresql", "mysql")
RUNS = 60
ROUNDS = 6


def accepted_runs() -> list[UUID]:
    """Enqueue runs of several steps."""
    return intake.enqueue_many(tasks.counts, [((ROUNDS,), {})] * RUNS, using="default", backend_alias="default")


def ended(runs: list[UUID]) -> int:
    """Count those that are over."""
    return TaskRun.objects.filter(pk__in=runs, status__in=FINISHED).count()


def cut_all() -> int:
    """End every connection but this one, and tell how many there were."""
    with connection.cursor() as cursor:
        if connection.vendor == "mysql":
            cursor.execute(
                "SELECT id FROM information_schema.processlist WHERE db = database() AND id <> connection_id()"
            )
            ids = [int(row[0]) for row in cursor.fetchall()]
            for each in ids:
                with suppress(OperationalError):  # one that has gone by itself meanwhile
                    cursor.execute(f"KILL {each}")
            return len(ids)
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return int(cursor.fetchone()[0])


def judge(yard: Yard, runs: list[UUID]) -> None:
    """Say that each run was done once, by the workers that began, with no attempt counted."""
    rows = wait_end(yard, *runs)
    assert Counter((row.status, row.attempts) for row in rows) == {(RunStatus.SUCCESSFUL, 0): RUNS}, [
        row.errors for row in rows if row.attempts
    ][:2]
    kept = Counter(Effect.objects.values_list("run_id", "name"))
    assert set(kept.values()) == {1}
    assert len(kept) == RUNS * (ROUNDS // 2)
    assert all(worker.is_alive for worker in yard.workers), yard.story()
    oracle(runs)


@SERVERS
@pytest.mark.fault("F11")
def test_connections_that_the_server_ends_are_opened_again(yard: Yard) -> None:
    for _ in range(2):
        yard.start("--concurrency", "3", options={"lease_seconds": 30}).wait_registered()
    runs = accepted_runs()
    for part in range(1, 5):
        wait_until(lambda part=part: ended(runs) >= part * RUNS // 6, f"the work goes on; {yard.story()}")
        assert cut_all() >= 2
    judge(yard, runs)


@POSTGRESQL
@pytest.mark.fault("F11")
def test_a_server_that_takes_no_writes_for_a_while_costs_no_attempt(
    own_yard: Yard, server: embedded_postgres.Server
) -> None:
    """As after a failover to a server that is not yet the first (25006)."""
    worker = own_yard.start("--concurrency", "3", options={"lease_seconds": 60})
    worker.wait_registered()
    # Of plain steps: what a task itself writes is refused as in any of its statements, and counts as its exception.
    runs = intake.enqueue_many(tasks.three_steps, [((7,), {})] * RUNS, using="default", backend_alias="default")
    wait_until(lambda: ended(runs) >= RUNS // 6, f"the work goes on; {own_yard.story()}")
    with connections["default"].cursor() as cursor:
        cursor.execute("ALTER DATABASE outage SET default_transaction_read_only = on")
        cut_all()
    wait_until(lambda: "read-only" in worker.output, f"the worker says what is wrong; {worker.output[-2000:]}")
    with connections["default"].cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = off")
        cursor.execute("ALTER DATABASE outage RESET default_transaction_read_only")
        cut_all()
    rows = wait_end(own_yard, *runs)
    assert Counter((row.status, row.attempts) for row in rows) == {(RunStatus.SUCCESSFUL, 0): RUNS}
    assert {own_yard.times(name) for name in ("first", "second", "third")} == {RUNS}
    assert worker.is_alive
    oracle(runs)


@SERVERS
@pytest.mark.fault("F12")
def test_a_worker_whose_connections_go_silent_loses_its_run_to_another_and_comes_back(
    yard: Yard, between: Proxy
) -> None:
    gate = yard.path("gate")
    run_id = acts.enqueue(tasks.blocks_at_gate, str(gate))
    cut_off = yard.start("--concurrency", "2", DATABASE_URL=through(between))
    yard.wait_deed("at the gate")
    between.fall_silent()
    cut_off.wait_said("stops its own work")
    heir = yard.start("--concurrency", "2")
    yard.wait_deed("at the gate", 2)
    assert run_of(run_id).lease_worker.startswith(heir.name)
    gate.touch()
    wait_end(yard, run_id)
    heir.send(signal.SIGTERM)
    assert heir.wait() == 0

    between.speak_again()
    after = acts.enqueue(tasks.echo, "after")
    (row,) = wait_end(yard, after)
    assert row.lease_worker.startswith(cut_off.name)
    assert run_of(run_id).crashes == 1
    assert journal.times(yard.journal, "at the gate") == 2
    oracle([run_id, after])


# Which answer is lost: to what is sent first, or to what then follows on the same connection. PostgreSQL's tick is one statement
# that commits itself; MariaDB's is several.
LOST = {
    "checkpoint": (b"INSERT INTO durable_tasks_checkpoint", None, "three_steps"),
    "outcome": (b"succeeded", None, "three_steps"),
    "claim": (b"SET status = 'CLAIMED'", b"COMMIT", "three_steps"),
    "atomic": (b"probe_effect", b"COMMIT", "atomic_steps"),
    "heartbeat": (b"SET heartbeat_at", None, "three_steps"),
}


@SERVERS
@pytest.mark.fault("F13")
@pytest.mark.parametrize("answer", sorted(LOST))
def test_a_lost_answer_costs_nothing(yard: Yard, between: Proxy, answer: str) -> None:
    """The server has committed, and the worker cannot know (fault F13)."""
    to, then, name = LOST[answer]
    if connection.vendor == "mysql" and answer != "heartbeat":
        then = b"COMMIT"
    task = getattr(tasks, name)
    expected = undisturbed_result(task, 7)
    # A lease that outlives the loss on a busy machine, too: whoever cannot renew in time stops its own work, which is another test.
    worker = yard.start(options={"lease_seconds": 30}, DATABASE_URL=through(between))
    worker.wait_registered()
    between.lose_answer(to, then=then)
    run_id = acts.enqueue(task, 7)
    (row,) = wait_end(yard, run_id)
    wait_until(lambda: between.lost, "an answer was lost")
    again = acts.enqueue(tasks.echo, "still there")
    wait_end(yard, again)

    assert (row.status, row.result) == (RunStatus.SUCCESSFUL, expected), yard.story()
    entered = [yard.times(step) for step in ("first", "second", "third")]
    assert entered == [1, 1, 1]
    if name == "atomic_steps":
        assert Effect.objects.filter(run_id=run_id).count() == 3
    assert run_of(run_id).attempts == 0
    assert worker.is_alive
    oracle([run_id, again])


@SERVERS
@pytest.mark.fault("F21")
@pytest.mark.parametrize("isolation", ["serializable", pytest.param("repeatable read", marks=pytest.mark.nightly)])
def test_a_database_that_isolates_more_by_default_loses_nothing(yard: Yard, isolation: str) -> None:
    url = databases.to_url(connection.settings_dict)
    with isolated(isolation):
        for _ in range(2):
            yard.start(
                "--concurrency", "3", options={"lease_seconds": 30}, DATABASE_URL=with_isolation(url, isolation)
            ).wait_registered()
        judge(yard, accepted_runs())


@contextmanager
def isolated(isolation: str) -> Iterator[None]:
    """Let PostgreSQL's database isolate so by default."""
    name = connection.ops.quote_name(connection.settings_dict["NAME"])
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = '{isolation}'")
        connection.close()
    yield
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER DATABASE {name} RESET default_transaction_isolation")
        connection.close()


def with_isolation(url: str, isolation: str) -> str:
    """Let Django ask MariaDB to isolate so, in the settings of a project."""
    if connection.vendor != "mysql":
        return url
    entry = databases.from_url(url)
    return databases.to_url({**entry, "OPTIONS": {**entry["OPTIONS"], "isolation_level": isolation}})


IMPATIENT = {
    "postgresql": "SET lock_timeout = '1s'",
    "mysql": "SET lock_wait_timeout = 1",
    "sqlite": "PRAGMA busy_timeout = 1000",
}


@pytest.mark.databases("sqlite", "postgresql", "mysql")
@pytest.mark.fault("F33")
def test_tables_may_be_altered_under_load(yard: Yard) -> None:
    """A migration waits for its lock no longer than a second, tries again, and no run notices."""
    for _ in range(2):
        yard.start("--concurrency", "3", options={"lease_seconds": 30}).wait_registered()
    runs = accepted_runs()
    statements = [
        f"ALTER TABLE {table} {change}"
        for table in (TaskRun._meta.db_table, Effect._meta.db_table)
        for change in ("ADD COLUMN later integer", "DROP COLUMN later")
    ]

    def altered(statement: str) -> bool:
        try:
            with connection.cursor() as cursor:
                cursor.execute(IMPATIENT[connection.vendor])
                cursor.execute(statement)
        except OperationalError:
            return False
        return True

    for part, statement in enumerate(statements, 1):
        wait_until(lambda part=part: ended(runs) >= part * RUNS // 6, f"the work goes on; {yard.story()}")
        wait_until(lambda statement=statement: altered(statement), statement)
    # With it go the second's patience, and what it has prepared against other columns.
    connection.close()
    judge(yard, runs)
