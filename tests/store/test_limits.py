"""Limits: how much of a task, a key, a queue and everything is under way at a time, and how often something starts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_tasks_durable import testing
from django_tasks_durable.conf import get_options
from django_tasks_durable.exceptions import InvalidKey, InvalidLimit, LimitReached
from django_tasks_durable.limits import QueueLimits, Rate
from django_tasks_durable.models import KeptKey, Queue, Slot, TaskRun
from django_tasks_durable.primitives.clock import monotonic
from django_tasks_durable.primitives.lanes import slot_of_task
from django_tasks_durable.primitives.status import LEASED, RunStatus
from django_tasks_durable.primitives.writes import ClaimedRun, Released, Started, Succeeded
from django_tasks_durable.snapshots import read
from django_tasks_durable.store import claims, control, forks, intake, queues, slots, vendors
from django_tasks_durable.store.database import DatabaseStore
from tests.probe import tasks
from tests.store import acts


@pytest.fixture(autouse=True)
def registered(session: vendors.Session) -> str:
    """Enter the worker that claims."""
    return acts.register(session)


def ids(claimed: list[ClaimedRun]) -> list[UUID]:
    """Return which runs were claimed."""
    return [run.run_id for run in claimed]


def end(session: vendors.Session, claimed: ClaimedRun) -> None:
    """Let an attempt end well."""
    acts.hand_in(session, claimed, Started(lease=claimed.lease), Succeeded(lease=claimed.lease, result="1"))


def many(task: Any, count: int, **options: Any) -> list[UUID]:
    """Enqueue a run so many times."""
    calls = [((), {})] * count
    return intake.enqueue_many(
        task.using(**options) if options else task, calls, using="default", backend_alias="default"
    )


# --- how many at a time


@pytest.mark.seed("TR-8", "TR-10")
def test_a_task_runs_no_more_than_its_limit_and_the_next_when_one_ends(session: vendors.Session) -> None:
    first, second, third = many(tasks.in_pairs, 3)
    begun = acts.claim(session)
    assert ids(begun) == [first, second]
    assert acts.claim(session, "worker-1") == []
    end(session, begun[0])
    assert ids(acts.claim(session)) == [third]


@pytest.mark.seed("TR-10")
def test_a_key_is_one_at_a_time_across_tasks_and_queues_in_the_order_of_their_coming(session: vendors.Session) -> None:
    first = acts.enqueue(tasks.echo, concurrency_key="pdf")
    second = acts.enqueue(tasks.echo, concurrency_key="pdf")
    elsewhere = acts.enqueue(tasks.elsewhere, concurrency_key="pdf")
    (begun,) = acts.claim(session)
    assert begun.run_id == first
    end(session, begun)
    (begun,) = acts.claim(session)
    assert begun.run_id == second
    end(session, begun)
    assert ids(acts.claim(session)) == [elsewhere]


def test_a_key_takes_as_many_as_its_limit_says_in_order(session: vendors.Session) -> None:
    runs = many(tasks.echo, 5, concurrency_key="api", concurrency_limit=3)
    begun = acts.claim(session)
    assert ids(begun) == runs[:3]
    end(session, begun[1])
    assert ids(acts.claim(session)) == [runs[3]]


def test_each_run_goes_by_the_limit_it_was_given(session: vendors.Session) -> None:
    wide = many(tasks.echo, 2, concurrency_key="api", concurrency_limit=5)
    narrow = many(tasks.echo, 1, concurrency_key="api", concurrency_limit=2)
    many(tasks.echo, 1, concurrency_key="api", concurrency_limit=5)
    begun = acts.claim(session)

    assert ids(begun) == wide
    end(session, begun[0])
    assert ids(acts.claim(session)) == narrow


def test_both_limits_of_a_run_hold(session: vendors.Session) -> None:
    runs = [acts.enqueue(tasks.in_pairs, concurrency_key=key) for key in "aabc"]
    begun = acts.claim(session)
    found = {acts.run(run_id).concurrency_key for run_id in ids(begun)}

    assert len(begun) == 2
    assert len(found) == 2
    assert runs[1] not in ids(begun)


def test_the_limit_of_the_code_counts_and_not_the_one_of_the_enqueue(session: vendors.Session) -> None:
    many(tasks.alone, 3)
    TaskRun.objects.update(options='{"concurrency":99}')

    assert len(acts.claim(session)) == 1


@pytest.mark.parametrize("count", [1, 2])
def test_a_queue_runs_no_more_than_the_settings_say(session: vendors.Session, count: int) -> None:
    many(tasks.echo, 4)
    there = acts.enqueue(tasks.elsewhere)
    limits = {"default": QueueLimits(concurrency=count)}
    begun = acts.claim(session, queue_limits=limits)

    assert Counter(run.queue_name for run in begun) == {"default": count, "other": 1}
    end(session, next(run for run in begun if run.run_id != there))
    assert len(acts.claim(session, queue_limits=limits)) == 1


def test_what_somebody_set_at_run_time_goes_before_the_settings(session: vendors.Session) -> None:
    many(tasks.echo, 6)
    limits = {"default": QueueLimits(concurrency=1)}
    queues.limit("default", using="default", by="ada", concurrency=3)
    assert len(acts.claim(session, queue_limits=limits)) == 3
    queues.limit("default", using="default", by="ada", concurrency=None)
    assert len(acts.claim(session, queue_limits=limits)) == 3


def test_all_workers_together_run_no_more_than_the_settings_say(session: vendors.Session) -> None:
    acts.register(session, "worker-2")
    many(tasks.echo, 3)
    many(tasks.elsewhere, 3, priority=5)
    many(tasks.in_pairs, 3)
    begun = acts.claim(session, concurrency=2, limit=9)
    assert [run.queue_name for run in begun] == ["other", "other"]
    assert acts.claim(session, "worker-2", concurrency=2) == []
    assert len(acts.claim(session, "worker-2", concurrency=3)) == 1


# --- what frees a place


ENDS = ["succeeded", "failed for good", "failed, to be retried", "waiting", "sleeping", "cancelled", "released"]


@pytest.mark.parametrize("kind", ENDS)
def test_whatever_ends_or_suspends_an_attempt_frees_its_places(session: vendors.Session, kind: str) -> None:
    for _ in range(2):
        acts.enqueue(tasks.alone, concurrency_key="k")
    (begun,) = acts.claim(session)
    assert acts.claim(session) == []
    later = session.now_at() + timedelta(hours=1)
    acts.hand_in(session, begun, acts.each_write(begun.lease, later)[kind])

    # What was given back stands behind the other, which has been due for longer.
    (other,) = acts.claim(session)
    assert other.run_id != begun.run_id


def test_a_sweep_frees_the_places_of_a_dead_worker(session: vendors.Session) -> None:
    _, second = many(tasks.alone, 2)
    (begun,) = acts.claim(session)
    acts.register(session, "worker-2")
    assert acts.claim(session, "worker-2") == []
    acts.lose_worker(session)

    assert ids(acts.claim(session, "worker-2")) == [second]
    assert isinstance(acts.hand_in(session, begun, Succeeded(lease=begun.lease, result="1")), BaseException)
    assert acts.claim(session, "worker-2") == []


def test_superseding_a_run_frees_its_places(session: vendors.Session) -> None:
    acts.enqueue(tasks.alone, supersede_key="s")
    acts.claim(session)
    second = acts.enqueue(tasks.alone, supersede_key="s")

    assert ids(acts.claim(session)) == [second]


# --- a key that is kept


def waits(session: vendors.Session) -> UUID:
    """Let a run take its key and wait with it."""
    run_id = acts.enqueue(tasks.keeps_its_key)
    (begun,) = acts.claim(session)
    acts.hand_in(session, begun, Started(lease=begun.lease), acts.parked(begun.lease))
    assert acts.run(run_id).status == RunStatus.WAITING
    return run_id


def test_a_run_that_keeps_its_key_lets_nobody_in_while_it_waits(session: vendors.Session) -> None:
    waiting = waits(session)
    others = many(tasks.keeps_its_key, 3)
    free = acts.enqueue(tasks.echo, concurrency_key="others")
    assert ids(acts.claim(session)) == [free]
    control.resume(waiting, "yes", using="default")
    (again,) = acts.claim(session)
    assert again.run_id == waiting
    assert acts.claim(session) == []
    end(session, again)
    assert ids(acts.claim(session)) == others[:1]


def test_a_run_without_the_option_lets_others_in(session: vendors.Session) -> None:
    first, second = (acts.enqueue(tasks.asks, concurrency_key="pages") for _ in range(2))
    (begun,) = acts.claim(session)
    assert begun.run_id == first
    acts.hand_in(session, begun, Started(lease=begun.lease), acts.parked(begun.lease))

    assert ids(acts.claim(session)) == [second]


def test_a_kept_key_is_free_when_its_run_has_ended_and_a_retry_stands_in_line(session: vendors.Session) -> None:
    waiting = waits(session)
    control.cancel(waiting, using="default")
    (begun,) = (acts.enqueue(tasks.keeps_its_key), acts.claim(session))[1]
    control.retry(waiting, using="default")

    assert acts.claim(session) == []
    assert slots.held(session).total() == 1
    end(session, begun)
    assert ids(acts.claim(session)) == [waiting]


def test_notes_of_kept_keys_and_idle_slots_are_forgotten(session: vendors.Session) -> None:
    with testing.frozen() as moment:
        waiting, kept = waits(session), acts.enqueue(tasks.keeps_its_key, concurrency_key="other")
        (begun,) = acts.claim(session)
        assert begun.run_id == kept
        control.cancel(waiting, using="default")
        assert slots.forget_idle(session) == 1
        assert set(KeptKey.objects.values_list("run_id", flat=True)) == {kept}
        testing.advance(timedelta(hours=3))
        assert slots.forget_idle(session) == 2
        assert not Slot.objects.exists()
        end(session, begun)
        assert len(acts.claim(session)) == 0
        assert moment < session.now_at()


# --- rates, by a clock that stands still


@pytest.fixture
def clock() -> Iterator[datetime]:
    """Stop the clock."""
    with testing.frozen(datetime(2030, 1, 1, tzinfo=UTC)) as moment:
        yield moment


def started(session: vendors.Session, **wants: Any) -> int:
    """Claim what may start now, and end it at once."""
    begun = acts.claim(session, **wants)
    for run in begun:
        end(session, run)
    return len(begun)


def test_a_rate_lets_a_burst_through_and_then_so_many_a_period(session: vendors.Session, clock: datetime) -> None:
    many(tasks.now_and_then, 30)
    assert [started(session), started(session)] == [3, 0]
    testing.advance(19)
    assert started(session) == 0
    testing.advance(1)
    assert started(session) == 1
    testing.advance(40)
    assert [started(session), started(session)] == [2, 0]
    testing.advance(timedelta(days=1))
    assert [started(session), started(session)] == [3, 0]


def test_a_rate_of_a_key_is_shared_by_tasks(session: vendors.Session, clock: datetime) -> None:
    options = {"concurrency_key": "api", "concurrency_limit": 100, "rate": "2/second"}
    many(tasks.echo, 3, **options)
    many(tasks.elsewhere, 3, **options)
    free = acts.enqueue(tasks.echo, concurrency_key="other", rate="2/second")
    begun = acts.claim(session)
    assert len(begun) == 3
    assert free in ids(begun)
    testing.advance(0.5)
    assert len(acts.claim(session)) == 1


def test_a_rate_of_a_queue_holds_for_all_its_tasks(session: vendors.Session, clock: datetime) -> None:
    many(tasks.echo, 5)
    many(tasks.in_pairs, 5)
    limits = {"default": QueueLimits(rate=Rate.of("4/minute"))}
    assert started(session, queue_limits=limits) == 4
    testing.advance(15)
    assert started(session, queue_limits=limits) == 1
    queues.limit("default", using="default", rate="60/minute")
    testing.advance(2)
    assert started(session, queue_limits=limits) == 2
    queues.limit("default", using="default", rate=None)
    assert started(session, queue_limits=limits) == 3


def test_a_worker_is_told_when_to_look_again(session: vendors.Session, clock: datetime) -> None:
    many(tasks.now_and_then, 4)
    wanted = acts.wanted()
    started(session)
    with session.transaction():
        assert claims.claim(session, wanted, limit=10) == []
    assert wanted.turns.look_at is not None
    assert wanted.turns.look_at - monotonic() == pytest.approx(20, abs=0.01)


def test_a_clock_that_goes_back_gives_nothing_away(session: vendors.Session) -> None:
    with testing.frozen(datetime(2030, 1, 2, tzinfo=UTC)):
        many(tasks.now_and_then, 9)
        TaskRun.objects.update(due_at=datetime(2020, 1, 1, tzinfo=UTC))
        assert started(session) == 3
    with testing.frozen(datetime(2030, 1, 1, tzinfo=UTC)):
        assert started(session) == 0


# --- turns


@pytest.mark.seed("TR-9")
def test_ten_thousand_blocked_runs_do_not_stop_the_one_behind_them(session: vendors.Session) -> None:
    many(tasks.echo, 10_000, concurrency_key="busy")
    assert len(acts.claim(session)) == 1
    free = acts.enqueue(tasks.echo, concurrency_key="free")
    unlimited = acts.enqueue(tasks.echo)
    with CaptureQueriesContext(connection) as captured:
        assert set(ids(acts.claim(session))) == {free, unlimited}

    # As many as with one that is blocked, and none of them reads the ten thousand.
    assert len(captured) <= 20
    assert acts.claim(session) == []


@pytest.mark.seed("TR-9")
def test_thousands_of_lanes_of_a_full_task_are_passed_at_once(session: vendors.Session) -> None:
    full, free = sorted((tasks.alone, tasks.in_pairs), key=lambda task: slot_of_task(task.module_path))
    many(full, 3)
    assert acts.claim(session)
    head = TaskRun.objects.filter(status=RunStatus.READY)[0]
    TaskRun.objects.bulk_create(
        TaskRun(
            task_path=head.task_path, options=head.options, lane=f"{head.lane[:24]}{number:016x}", slots=head.slots,
            enqueued_at=head.enqueued_at, due_at=head.due_at,
        )
        for number in range(1, 3000)
    )  # fmt: skip
    behind = acts.enqueue(free)

    assert ids(acts.claim(session)) == [behind]


def test_tenants_take_turns(session: vendors.Session) -> None:
    for name in "abcd":
        many(tasks.echo, 50 if name == "a" else 5, fair_key=name)
    wanted = acts.wanted()
    got: Counter[str] = Counter()
    for _ in range(12):
        with session.transaction():
            (run,) = claims.claim(session, wanted, limit=1)
        got[json.loads(run.options)["fair_key"]] += 1
    assert got == dict.fromkeys("abcd", 3)


def test_a_tenant_alone_has_all_the_room(session: vendors.Session) -> None:
    runs = many(tasks.echo, 20, fair_key="a")

    assert ids(acts.claim(session, limit=10)) == runs[:10]


def test_one_tenant_has_one_turn_however_many_keys_it_has(session: vendors.Session) -> None:
    for number in range(30):
        acts.enqueue(tasks.echo, fair_key="loud", concurrency_key=f"k{number}")
    quiet = acts.enqueue(tasks.echo, fair_key="quiet")

    assert quiet in ids(acts.claim(session, limit=2))


def test_runs_with_and_without_limits_share_the_room(session: vendors.Session) -> None:
    many(tasks.echo, 20, fair_key="a")
    many(tasks.echo, 20)
    begun = acts.claim(session, limit=10)

    assert Counter(run.is_limited for run in begun) == {True: 5, False: 5}


def test_a_higher_priority_goes_before_whatever_the_turns_are(session: vendors.Session) -> None:
    many(tasks.echo, 3, fair_key="a")
    high = many(tasks.echo, 2, priority=5)
    higher = many(tasks.echo, 1, priority=9, concurrency_key="k")

    assert ids(acts.claim(session, limit=3)) == [*higher, *high]


def test_runs_with_limits_are_taken_for_free_slots_only(session: vendors.Session) -> None:
    many(tasks.echo, 9, fair_key="a")
    many(tasks.echo, 9)
    begun = acts.claim(session, limit=10, takes_limited=2)

    assert Counter(run.is_limited for run in begun) == {True: 2, False: 8}


def test_a_run_without_limits_pays_no_statement(session: vendors.Session) -> None:
    acts.enqueue()
    with CaptureQueriesContext(connection) as captured:
        assert len(acts.claim(session)) == 1

    assert not any("slot" in query["sql"] or "keptkey" in query["sql"] for query in captured)


def test_a_key_goes_with_a_child_a_copy_and_a_fork(session: vendors.Session) -> None:
    run_id = acts.enqueue(tasks.echo, concurrency_key="pdf", fair_key="a")
    copy = acts.run(forks.copy(run_id, using="default"))
    row = acts.run(run_id)

    assert (copy.lane, copy.slots, copy.concurrency_key) == (row.lane, row.slots, row.concurrency_key)
    assert row.concurrency_key == "pdf"
    assert row.lane


# --- in process


def test_a_stream_in_process_keeps_to_the_limits(session: vendors.Session) -> None:
    many(tasks.alone, 1)
    (begun,) = acts.claim(session)
    with pytest.raises(LimitReached, match="held back by a limit"):
        tasks.alone.invoke(store=DatabaseStore())
    waiting = TaskRun.objects.exclude(pk=begun.run_id).get()
    assert waiting.status == RunStatus.READY
    end(session, begun)
    tasks.alone.invoke(run_id=str(waiting.id), store=DatabaseStore())
    assert acts.run(waiting.id).status == RunStatus.SUCCESSFUL


def test_a_worker_leaves_a_key_that_a_stream_holds(session: vendors.Session) -> None:
    stream = tasks.partials.using(concurrency_key="k").stream(2, store=DatabaseStore())
    next(stream)
    acts.enqueue(tasks.echo, concurrency_key="k")
    assert acts.claim(session) == []
    list(stream)
    assert len(acts.claim(session)) == 1


def test_drain_ends_although_something_is_held_back(session: vendors.Session) -> None:
    with testing.frozen():
        many(tasks.now_and_then, 5)
        assert len(testing.drain()) == 3
        testing.advance(60)
        assert len(testing.drain()) == 2


# --- what is refused


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"concurrency_limit": 0, "concurrency_key": "k"}, "concurrency_limit=0: Nothing would ever run"),
        ({"concurrency_limit": -1, "concurrency_key": "k"}, "concurrency_limit=-1: Give a whole number from 1"),
        ({"concurrency_limit": True, "concurrency_key": "k"}, "concurrency_limit=True"),
        ({"concurrency_limit": 2}, "give concurrency_key too"),
        ({"hold_key": True}, "give concurrency_key too"),
        ({"rate": "10/fortnight"}, "'fortnight' is no period"),
        ({"rate": "0/minute"}, "pause the queue"),
        ({"rate": "-1/minute"}, "from 1 to"),
        ({"rate": 7}, "rate=7: Give 'N/period'"),
        ({"rate": "often"}, "'10/minute'"),
    ],
)
def test_a_limit_that_cannot_be_kept_is_refused_with_the_way_out(options: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidLimit, match=says.replace("(", r"\(")):
        tasks.echo.using(**options)


def test_a_key_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidKey):
        tasks.echo.using(concurrency_key=" ")
    with pytest.raises(InvalidKey):
        tasks.echo.using(fair_key="")


def test_the_limit_of_a_task_is_not_given_to_a_call() -> None:
    with pytest.raises(TypeError, match="concurrency belongs to a task"):
        tasks.echo.using(concurrency=3)


@pytest.mark.parametrize("value", [0, -1, "many", 2.5])
def test_a_queue_is_not_given_a_limit_that_stops_it(session: vendors.Session, value: Any) -> None:
    with pytest.raises(InvalidLimit):
        queues.limit("default", using="default", concurrency=value)
    assert not Queue.objects.exists()


@pytest.mark.parametrize("text", ["10/minute", "5/30 seconds", "1/day", "3/2 hours", "7/second"])
def test_a_rate_is_told_as_it_is_written(text: str) -> None:
    assert str(Rate.of(text)) == text
    assert Rate.of(str(Rate.of(text))) == Rate.of(text)


def test_the_short_words_of_periods_are_known() -> None:
    assert Rate.of("5/30s") == Rate(5, 30)
    assert Rate.of("100/h") == Rate(100, 3600)


def test_nothing_is_leased_beyond_what_is_counted(session: vendors.Session) -> None:
    many(tasks.in_pairs, 5)
    begun = acts.claim(session)
    assert slots.held(session).total() == TaskRun.objects.filter(status__in=LEASED).count() == 2
    acts.hand_in(session, begun[0], Released(lease=begun[0].lease))
    assert slots.held(session).total() == 1
    assert get_options("default").global_concurrency is None


def test_a_run_tells_its_concurrency_key_and_is_found_by_it(session: vendors.Session) -> None:
    run_id = acts.enqueue(tasks.echo, concurrency_key="pdf")
    acts.enqueue()
    found = read.one(run_id, using="default")

    assert found.as_dict()["keys"] == {"concurrency": "pdf"}
    assert "concurrency:pdf" in found.channels
    for queryset in (
        read.holding(read.runs(using="default"), "concurrency", "pdf"),
        read.in_any_channel(read.runs(using="default"), ["concurrency:pdf"]),
    ):
        assert [run.id for run in queryset] == [run_id]
