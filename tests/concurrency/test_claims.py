"""Several workers at one queue."""

from __future__ import annotations

from collections import Counter
from functools import partial

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_tasks_durable.models import TaskRun
from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.store import claims, intake, vendors
from tests.concurrency.barrier import TRIALS, side_by_side
from tests.probe import tasks
from tests.store import acts


def enqueue_many(count: int) -> None:
    """Fill the queue."""
    calls = [((number,), {}) for number in range(count)]
    intake.enqueue_many(tasks.echo, calls, using="default", backend_alias="default")


@pytest.mark.seed("TW-22", "AW-20")
def test_no_run_is_claimed_twice(session: vendors.Session) -> None:
    for name in "abcd":
        acts.register(session, name)
    for _ in range(TRIALS):
        enqueue_many(12)
        found = side_by_side(*(partial(acts.claim, worker_id=name, limit=5) for name in "abcd"))

        times = Counter(run.run_id for batch in found for run in batch)
        assert max(times.values()) == 1
        for batch, name in zip(found, "abcd", strict=True):
            for run in batch:
                row = acts.run(run.run_id)
                assert (row.lease_worker, row.lease_token) == (name, run.lease.token)
        session.execute("DELETE FROM durable_tasks_step")
        session.execute("DELETE FROM durable_tasks_taskrun")


@pytest.mark.databases("postgresql", "mysql")
def test_a_second_claimer_finds_work_while_the_first_has_not_committed(
    session: vendors.Session, other_session: vendors.Session
) -> None:
    acts.register(session, "a")
    acts.register(session, "b")
    enqueue_many(50)
    first = claims.Wanted(worker_id="a", task_paths=acts.PATHS)
    with other_session.transaction():
        taken = claims.claim(other_session, first, limit=5)
        found = acts.claim(session, "b", limit=5)

    assert len(taken) == len(found) == 5
    assert not {run.run_id for run in taken} & {run.run_id for run in found}


@pytest.mark.databases("mysql")
def test_the_claim_reads_the_index_in_its_own_order(session: vendors.Session) -> None:
    acts.register(session)
    enqueue_many(300)
    session.execute("ANALYZE TABLE durable_tasks_taskrun")
    with CaptureQueriesContext(connection) as captured:
        acts.claim(session, limit=5)
    choice = next(query["sql"] for query in captured if "SKIP LOCKED" in query["sql"] and "taskrun" in query["sql"])
    (plan,) = session.execute(f"EXPLAIN {choice.replace('%', '%%')}")

    assert "dtd_run_ready" in plan
    assert "filesort" not in str(plan[-1])


@pytest.mark.databases("postgresql")
def test_the_claim_reads_the_ready_index(session: vendors.Session) -> None:
    acts.register(session)
    enqueue_many(5000)
    session.execute("UPDATE durable_tasks_taskrun SET status = 'SUCCESSFUL' WHERE args LIKE '%%7%%'")
    session.execute("ANALYZE durable_tasks_taskrun")
    rows = session.execute(
        "EXPLAIN SELECT id FROM durable_tasks_taskrun WHERE status = 'READY' AND queue_name = 'default' AND ready_rank = 0 "
        "AND lane = '' AND due_at <= now() AND task_path = ANY(ARRAY['tests.probe.tasks.echo']) ORDER BY due_at, id LIMIT 5 "
        "FOR NO KEY UPDATE SKIP LOCKED"
    )
    plan = "\n".join(row[0] for row in rows)

    assert "dtd_run_ready" in plan
    assert "Sort" not in plan


@pytest.mark.databases("postgresql")
def test_a_look_for_what_is_due_passes_by_no_finished_run(session: vendors.Session) -> None:
    enqueue_many(4000)
    session.execute(
        "UPDATE durable_tasks_taskrun SET status = 'SUCCESSFUL' "
        "WHERE id IN (SELECT id FROM durable_tasks_taskrun ORDER BY id LIMIT 2500)"
    )
    session.execute("ANALYZE durable_tasks_taskrun")
    with CaptureQueriesContext(connection) as captured:
        heads = claims.ready_heads(session, claims.Wanted(worker_id="a", task_paths=acts.PATHS))
    (asked,) = captured.captured_queries
    plan = "\n".join(row[0] for row in session.execute(f"EXPLAIN {asked['sql'].replace('%', '%%')}"))

    assert [(head.queue_name, head.is_due) for head in heads.pairs] == [("default", True)]
    assert "Seq Scan on durable_tasks_taskrun" not in plan
    assert "dtd_run_ready" in plan


def test_producers_and_claimers_do_not_get_in_each_others_way(session: vendors.Session) -> None:
    for name in "ab":
        acts.register(session, name)
    taken: list[object] = []

    def produce(_: vendors.Session) -> None:
        for number in range(60):
            acts.enqueue(tasks.add, number, 1)

    def consume(name: str, own: vendors.Session) -> None:
        idle = 0
        while idle < 200 and len(taken) < 120:
            batch = acts.claim(own, name, limit=7)
            taken.extend(run.run_id for run in batch)
            idle = 0 if batch else idle + 1

    side_by_side(produce, produce, partial(consume, "a"), partial(consume, "b"))
    taken.extend(run.run_id for run in acts.claim(session, "a", limit=500))

    assert len(taken) == len(set(taken)) == 120
    assert TaskRun.objects.filter(status=RunStatus.CLAIMED).count() == 120
