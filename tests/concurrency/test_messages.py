"""Senders that come while an attempt writes, and broadcasts that meet."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest

from django_tasks_durable.exceptions import AlreadyResolved, NotWaiting, TakesNoMessages
from django_tasks_durable.models import Message, TaskRun, Wait
from django_tasks_durable.primitives.status import CheckpointKind, RunStatus, WakeReason
from django_tasks_durable.primitives.writes import (
    CheckpointRecord,
    ClaimedRun,
    SaveCheckpoint,
    Started,
    Suspended,
    WaitRequest,
)
from django_tasks_durable.store import control, events, history, maintenance, messages, vendors
from tests.concurrency.barrier import TRIALS, side_by_side
from tests.concurrency.test_control import insist
from tests.store import acts


def parked(claimed: ClaimedRun, inbox: int, *, event: str = "") -> Suspended:
    """Make a suspension that waits for a message, or for an event."""
    wait = WaitRequest(
        path="recv:news", kind="message", position=0, token=claimed.run_id.hex, request="null", event=event
    )
    return Suspended(
        lease=claimed.lease, parked=True, wake_at=None, reason=WakeReason.NONE, inbox=inbox, waits=(wait,)
    )  # fmt: skip


def begun(session: vendors.Session) -> ClaimedRun:
    """Claim a new run and enter its body."""
    acts.enqueue()
    (claimed,) = acts.claim(session)
    insist(session, claimed, Started(lease=claimed.lease))
    return claimed


def taken(act: Callable[[], object], refusal: type[Exception]) -> str:
    """Act, and tell whether that was taken or refused."""
    try:
        act()
    except refusal:
        return "refused"
    return "taken"


def test_a_message_is_never_lost_between_the_look_and_the_wait(session: vendors.Session) -> None:
    """Locking rule 4."""
    acts.register(session)
    for _ in range(TRIALS):
        claimed = begun(session)
        inbox = history.read(session, claimed).inbox
        side_by_side(
            lambda own, c=claimed, i=inbox: insist(own, c, parked(c, i)),
            lambda own, c=claimed: messages.send(c.run_id, "news", 1, using="default"),
        )

        row = acts.run(claimed.run_id)
        assert (row.status, row.inbox) == (RunStatus.READY, 1)
        assert acts.sequences(row.id) == list(range(1, row.last_sequence + 1))
        (again,) = acts.claim(session)
        assert [message.payload for message in history.read(session, again).messages] == ["1"]
        TaskRun.objects.filter(pk=row.id).update(status=RunStatus.CANCELLED)


def test_senders_at_once_are_all_heard(session: vendors.Session) -> None:
    acts.register(session)
    claimed = begun(session)
    insist(session, claimed, parked(claimed, 0))

    def tell(name: str) -> object:
        def act(own: vendors.Session) -> None:
            for number in range(10):
                messages.send(claimed.run_id, name, number, using="default")

        return act

    side_by_side(*(tell(name) for name in "abc"))  # type: ignore[arg-type]

    row = acts.run(claimed.run_id)
    assert row.inbox == 30
    assert acts.sequences(row.id) == list(range(1, row.last_sequence + 1))
    for name in "abc":
        payloads = Message.objects.filter(name=name).order_by("id").values_list("payload", flat=True)
        assert list(payloads) == [str(number) for number in range(10)]


def test_a_message_and_a_cancellation_at_once_leave_one_truth(session: vendors.Session) -> None:
    def tell(run_id: UUID) -> str:
        return taken(lambda: messages.send(run_id, "news", 1, using="default"), TakesNoMessages)

    acts.register(session)
    for _ in range(TRIALS):
        claimed = begun(session)
        insist(session, claimed, parked(claimed, 0))
        said, _ = side_by_side(
            lambda own, r=claimed.run_id: tell(r), lambda own, r=claimed.run_id: control.cancel(r, using="default")
        )

        row = acts.run(claimed.run_id)
        assert row.status == RunStatus.CANCELLED
        assert row.due_at is None
        assert Message.objects.filter(run=row).exists() == (said == "taken")
        assert acts.claim(session) == []


def test_a_broadcast_and_a_wait_at_once_leave_nobody_asleep_with_an_answer(session: vendors.Session) -> None:
    acts.register(session)
    for _ in range(TRIALS):
        claimed = begun(session)
        _, count = side_by_side(
            lambda own, c=claimed: insist(own, c, parked(c, 0, event="rates")),
            lambda own: events.broadcast("rates", 1, using="default", limit=1000),
        )

        row, wait = acts.run(claimed.run_id), Wait.objects.get(run_id=claimed.run_id)
        assert (row.status, wait.answer) == ((RunStatus.READY, "1") if count else (RunStatus.WAITING, None))
        TaskRun.objects.filter(pk=row.id).update(status=RunStatus.CANCELLED)
        wait.delete()


def test_an_answer_and_a_broadcast_at_once_leave_the_first(session: vendors.Session) -> None:
    def answer(run_id: UUID) -> str:
        return taken(lambda: control.resume(run_id, "by hand", using="default"), AlreadyResolved)

    acts.register(session)
    for _ in range(TRIALS):
        claimed = begun(session)
        insist(session, claimed, parked(claimed, 0, event="rates"))
        said, count = side_by_side(
            lambda own, r=claimed.run_id: answer(r),
            lambda own: events.broadcast("rates", 1, using="default", limit=1000),
        )

        assert (said, count) in {("taken", 0), ("refused", 1)}
        row = acts.run(claimed.run_id)
        assert Wait.objects.get(run=row).answer == ("1" if count else '"by hand"')
        assert (row.inbox, acts.sequences(row.id)) == (1, list(range(1, row.last_sequence + 1)))
        TaskRun.objects.filter(pk=row.id).update(status=RunStatus.CANCELLED)


@pytest.mark.fault("F20")
def test_two_broadcasts_of_two_events_do_not_wait_for_each_other(session: vendors.Session) -> None:
    """Both take the runs in the order of their ids, whatever the order of the waits."""
    acts.register(session)
    for _ in range(TRIALS // 4):
        claims = [begun(session) for _ in range(6)]
        for place, claimed in enumerate(claims):
            names = ("east", "west") if place % 2 else ("west", "east")
            waits = tuple(
                WaitRequest(
                    path=f"branch:{name}/event:{name}", kind="event", position=0, token=f"{claimed.run_id.hex}{name}",
                    request="null", event=name,
                )
                for name in names
            )  # fmt: skip
            insist(
                session,
                claimed,
                Suspended(lease=claimed.lease, parked=True, wake_at=None, reason=WakeReason.NONE, inbox=0, waits=waits),
            )
        counts = side_by_side(
            lambda own: events.broadcast("east", 1, using="default", limit=1000),
            lambda own: events.broadcast("west", 2, using="default", limit=1000),
        )

        assert counts == [6, 6]
        for claimed in claims:
            row = acts.run(claimed.run_id)
            assert (row.inbox, acts.sequences(row.id)) == (2, list(range(1, row.last_sequence + 1)))
        TaskRun.objects.update(status=RunStatus.CANCELLED)


def test_of_two_calls_of_a_webhook_at_once_the_first_wins(session: vendors.Session) -> None:
    def call(run_id: UUID, payload: int) -> str:
        return taken(lambda: messages.deliver(run_id, "webhook:paid", payload, using="default"), AlreadyResolved)

    for _ in range(TRIALS):
        run_id = acts.enqueue()
        said = side_by_side(lambda own, r=run_id: call(r, 1), lambda own, r=run_id: call(r, 2))

        assert sorted(said) == ["refused", "taken"]
        (message,) = Message.objects.filter(run_id=run_id)
        assert message.payload == ("1" if said[0] == "taken" else "2")


def test_a_call_and_the_wait_for_it_at_once_meet(session: vendors.Session) -> None:
    acts.register(session)
    for _ in range(TRIALS):
        claimed = begun(session)
        wait = WaitRequest(
            path="webhook:paid", kind="webhook", position=0, token=claimed.run_id.hex, request="null"
        )  # fmt: skip
        asleep = Suspended(
            lease=claimed.lease, parked=True, wake_at=None, reason=WakeReason.NONE, inbox=0, waits=(wait,)
        )  # fmt: skip
        side_by_side(
            lambda own, c=claimed, s=asleep: insist(own, c, s),
            lambda own, c=claimed: messages.deliver(c.run_id, "webhook:paid", 1, using="default"),
        )

        (again,) = acts.claim(session)
        found = history.read(session, again)
        assert [message.payload for message in found.messages] + [
            each.answer for each in found.waits if each.answer is not None
        ] == ["1"]
        TaskRun.objects.filter(pk=claimed.run_id).update(status=RunStatus.CANCELLED)


def test_an_answer_at_the_deadline_is_taken_or_refused_and_never_lost(session: vendors.Session) -> None:
    """A run goes on without an answer only when none can be given any more."""

    def answer(run_id: UUID, looked: threading.Event, *, at_once: bool) -> str:
        if not at_once:
            looked.wait(10)
        return taken(lambda: control.resume(run_id, "yes", using="default"), NotWaiting)

    def go_on(own: vendors.Session, looked: threading.Event) -> str:
        while True:
            maintenance.wake_overdue(own)
            if claims := acts.claim(own):
                break
        (wait,) = history.read(own, claims[0]).waits
        looked.set()
        record = CheckpointRecord(path=wait.path, kind=CheckpointKind.WAIT, position=0, value=wait.answer or "null")
        insist(own, claims[0], SaveCheckpoint(lease=claims[0].lease, checkpoint=record))
        return "taken" if wait.answer is not None else "refused"

    acts.register(session)
    for trial in range(TRIALS):
        claimed = begun(session)
        wait = WaitRequest(
            path="wait:q", kind="wait", position=0, token=claimed.run_id.hex, request="null",
            deadline=session.now_at() + timedelta(milliseconds=trial),
        )  # fmt: skip
        insist(
            session,
            claimed,
            Suspended(
                lease=claimed.lease, parked=True, wake_at=wait.deadline, reason=WakeReason.NONE, inbox=0, waits=(wait,)
            ),
        )
        looked = threading.Event()
        said, heard = side_by_side(
            lambda own, r=claimed.run_id, seen=looked, at_once=trial % 2 == 0: answer(r, seen, at_once=at_once),
            lambda own, seen=looked: go_on(own, seen),
        )

        assert said == heard
        TaskRun.objects.filter(pk=claimed.run_id).update(status=RunStatus.CANCELLED)


def test_an_answer_and_a_cancellation_at_once_leave_one_truth(session: vendors.Session) -> None:
    def answer(run_id: UUID) -> str:
        return taken(lambda: control.resume(run_id, "yes", using="default"), NotWaiting)

    acts.register(session)
    for _ in range(TRIALS):
        claimed = begun(session)
        insist(session, claimed, parked(claimed, 0))
        said, _ = side_by_side(
            lambda own, r=claimed.run_id: answer(r), lambda own, r=claimed.run_id: control.cancel(r, using="default")
        )

        row = acts.run(claimed.run_id)
        assert row.status == RunStatus.CANCELLED
        assert (Wait.objects.get(run=row).answer is not None) == (said == "taken")
        assert acts.claim(session) == []
        assert acts.sequences(row.id) == list(range(1, row.last_sequence + 1))
