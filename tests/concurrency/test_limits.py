"""Several workers at what only so many may run of."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from django_tasks_durable.exceptions import LimitReached
from django_tasks_durable.limits import QueueLimits, Rate
from django_tasks_durable.models import TaskRun
from django_tasks_durable.primitives.status import LEASED
from django_tasks_durable.primitives.writes import ClaimedRun, Released
from django_tasks_durable.store import claims, intake, vendors
from django_tasks_durable.store.commit import BUSY
from tests.concurrency.barrier import TRIALS, side_by_side
from tests.probe import tasks
from tests.store import acts

NAMES = "abcd"
LIMIT = 3


def fill(task: Any, **options: Any) -> None:
    """Enqueue more than may run, over two queues and two priorities, so that nobody finds them in one place."""
    for queue_name in ("default", "other"):
        for priority in (0, 1):
            chosen = task.using(queue_name=queue_name, priority=priority, **options)
            intake.enqueue_many(chosen, [((), {})] * 4, using="default", backend_alias="default")


KEY = {"concurrency_key": "k", "concurrency_limit": LIMIT}
MANNERS: dict[str, tuple[Callable[[], None], dict[str, Any], int]] = {
    "task": (lambda: fill(tasks.in_pairs), {}, 2),
    "key": (lambda: fill(tasks.echo, **KEY), {}, LIMIT),
    "keys of tenants": (lambda: [fill(tasks.echo, fair_key=name, **KEY) for name in NAMES] and None, {}, LIMIT),
    "global": (lambda: fill(tasks.echo), {"concurrency": LIMIT}, LIMIT),
    "queue": (
        lambda: fill(tasks.echo),
        {"queue_limits": {name: QueueLimits(concurrency=LIMIT) for name in ("default", "other")}},
        2 * LIMIT,
    ),
    "rate": (lambda: fill(tasks.echo, concurrency_key="k", concurrency_limit=99, rate="5/day"), {}, 5),
    "rate of a queue": (lambda: fill(tasks.echo), {"queue_limits": {"default": QueueLimits(rate=Rate(3, 86400.0))}}, 11),
}  # fmt: skip


def clear(session: vendors.Session) -> None:
    """Begin again with an empty store."""
    for table in ("slot", "keptkey", "step", "taskrun"):
        session.execute(f"DELETE FROM durable_tasks_{table}")


def claim(session: vendors.Session, name: str, **wants: Any) -> list[ClaimedRun]:
    """Look and claim as a worker does: the look outside the transaction of the claim."""
    wanted = acts.wanted(name, **wants)
    heads = claims.ready_heads(session, wanted)
    offers = claims.look(session, wanted, heads, limit=20)
    with session.transaction():
        return claims.claim(session, wanted, limit=20, heads=heads, offers=offers)


@pytest.mark.seed("TR-8", "TR-10")
@pytest.mark.parametrize("manner", MANNERS)
def test_as_many_start_as_may_and_no_more(session: vendors.Session, manner: str) -> None:
    enqueue, wants, most = MANNERS[manner]
    for name in NAMES:
        acts.register(session, name)
    for _ in range(TRIALS // 2):
        enqueue()
        side_by_side(*(partial(claim, name=name, **wants) for name in NAMES))
        begun = TaskRun.objects.filter(status__in=LEASED).count()
        assert begun <= most
        for _ in range(4):  # whoever found a slot locked comes again
            claim(session, "a", **wants)
        assert TaskRun.objects.filter(status__in=LEASED).count() == most
        clear(session)


@pytest.mark.fault("F29")
def test_places_that_come_and_go_are_never_exceeded_and_never_lost(session: vendors.Session) -> None:
    for name in NAMES:
        acts.register(session, name)
    seen: list[int] = []
    done: set[UUID] = set()

    def work(own: vendors.Session, name: str) -> None:
        for _ in range(25):
            for claimed in claim(own, name):
                with own.transaction():
                    rows = own.execute(
                        "SELECT COUNT(*) FROM durable_tasks_taskrun WHERE status IN ('CLAIMED', 'RUNNING')"
                    )
                seen.append(rows[0][0])
                while acts.hand_in(own, claimed, *ending(claimed)) is BUSY:
                    pass
                done.add(claimed.run_id)

    def ending(claimed: ClaimedRun) -> tuple[Any, ...]:
        if claimed.lease.token == 1 and claimed.run_id.int % 3 == 0:
            return (Released(lease=claimed.lease),)
        return (acts.Started(lease=claimed.lease), acts.Succeeded(lease=claimed.lease, result="1"))

    fill(tasks.echo, **KEY)
    side_by_side(*(partial(work, name=name) for name in NAMES))
    work(session, "a")

    assert max(seen) <= LIMIT
    assert len(done) == 16
    assert not TaskRun.objects.exclude(status="SUCCESSFUL").exists()


def test_a_stream_and_workers_do_not_both_take_the_last_place(session: vendors.Session) -> None:
    for name in NAMES:
        acts.register(session, name)
    for _ in range(TRIALS):
        chosen = [acts.enqueue(tasks.echo, concurrency_key="k", queue_name=queue) for queue in ("default", "other")]

        def stream(own: vendors.Session, run_id: UUID = chosen[1]) -> bool:
            try:
                with own.transaction():
                    claims.hold_worker(own, "d")
                    return claims.claim_one(own, "d", run_id) is not None
            except LimitReached:
                return False

        side_by_side(stream, *(partial(claim, name=name) for name in "abc"))

        assert TaskRun.objects.filter(status__in=LEASED).count() == 1
        clear(session)


@pytest.mark.databases("postgresql", "mysql")
@pytest.mark.parametrize("is_new", [False, True], ids=["its slot is there", "its slot is new"])
def test_who_counts_holds_up_nobody_who_wants_something_else(
    session: vendors.Session, other_session: vendors.Session, is_new: bool
) -> None:
    for name in "ab":
        acts.register(session, name)
    acts.enqueue(tasks.echo, concurrency_key="busy")
    third = vendors.private_session("default")
    if not is_new:
        claims.look(third, acts.wanted("b"), claims.ready_heads(third, acts.wanted("b")), limit=5)
    with other_session.transaction():
        assert len(claims.claim(other_session, acts.wanted("a"), limit=5)) == 1
        acts.enqueue(tasks.echo, concurrency_key="busy")
        free, unlimited = acts.enqueue(tasks.echo, concurrency_key="free"), acts.enqueue()
        found = claim(third, "b")
    third.close()

    assert {run.run_id for run in found} == {free, unlimited}
