"""Whatever happens to runs with limits, in whatever order: no place is taken twice, and none is lost."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from django_tasks_durable import testing
from django_tasks_durable.models import KeptKey, TaskRun
from django_tasks_durable.primitives.lanes import SlotKind, names_in
from django_tasks_durable.primitives.status import FINISHED, LEASED, RETRIABLE, RunStatus
from django_tasks_durable.primitives.writes import ClaimedRun, Started, Succeeded
from django_tasks_durable.store import control, slots, vendors
from tests.probe import tasks
from tests.store import acts

KEYS = ("a", "b")
LIMITS = {"a": 1, "b": 2}
WORKERS = ("w1", "w2")

enqueued = st.tuples(
    st.just("enqueue"),
    st.sampled_from([*KEYS, ""]),
    st.sampled_from(["echo", "in_pairs", "keeps"]),
    st.sampled_from("xy"),
)
DEEDS = (*["claim"] * 3, *["end"] * 2, "wait", "sleep", "fail", "release", "kill", "cancel", "retry", "answer")
happened = st.tuples(st.sampled_from(DEEDS), st.sampled_from(WORKERS), st.integers(0, 5), st.just(""))
lives = st.lists(enqueued | enqueued | happened, min_size=5, max_size=40)


class House:
    """Two workers, what they hold, and what is expected of the rows."""

    def __init__(self) -> None:
        self.session = vendors.session()
        self.held: list[tuple[str, ClaimedRun]] = []
        for name in WORKERS:
            acts.register(self.session, name)

    def enqueue(self, key: str, task: str, tenant: str) -> None:
        """Enqueue a run with or without a key."""
        options: dict[str, Any] = {"fair_key": tenant} if tenant == "y" else {}
        if key:
            options |= {"concurrency_key": key, "concurrency_limit": LIMITS[key], "hold_key": task == "keeps"}
        acts.enqueue(tasks.in_pairs if task == "in_pairs" else tasks.echo, **options)

    def claim(self, worker: str, number: int) -> None:
        """Claim up to so many."""
        found = acts.claim(self.session, worker, limit=number + 1)
        self.held += [(worker, claimed) for claimed in found]

    def write(self, deed: str, number: int) -> None:
        """Let one of the attempts end in some way."""
        if not self.held:
            return
        _, claimed = self.held.pop(number % len(self.held))
        lease, later = claimed.lease, self.session.now_at() + timedelta(seconds=1)
        last = {
            "end": Succeeded(lease=lease, result="1"),
            "wait": acts.parked(lease, token=f"{claimed.run_id.hex}"),
            "sleep": acts.asleep(lease, later),
            "fail": acts.failed(lease),
            "release": acts.each_write(lease, later)["released"],
        }[deed]
        if deed in ("wait", "sleep") and claimed.lease.token > 1:
            last = Succeeded(lease=lease, result="1")
        acts.hand_in(self.session, claimed, Started(lease=lease), last)

    def kill(self, worker: str) -> None:
        """Let a worker die and be swept."""
        acts.lose_worker(self.session, worker)
        self.held = [(name, claimed) for name, claimed in self.held if name != worker]

    def operate(self, deed: str, number: int) -> None:
        """Do what an operator does to one of the runs."""
        wanted = {
            "cancel": set(RunStatus) - FINISHED - LEASED,
            "retry": RETRIABLE,
            "answer": {RunStatus.WAITING},
        }[deed]
        rows = TaskRun.objects.filter(status__in=wanted).order_by("id")
        if rows:
            run_id = rows[number % len(rows)].id
            act = {"cancel": control.cancel, "retry": control.retry}.get(deed)
            act(run_id, using="default") if act else control.resume(run_id, 1, using="default")

    def judge(self) -> None:
        """Count by hand, and compare."""
        truth: Counter[Any] = Counter()
        kept = set(KeptKey.objects.values_list("run_id", flat=True))
        for row in TaskRun.objects.exclude(slots="").exclude(status__in=FINISHED):
            for name in names_in(row.slots):
                keeps = name.kind is SlotKind.KEY and row.id in kept
                truth[name] += row.status in LEASED or keeps
        assert +truth == +slots.held(self.session)
        for row in TaskRun.objects.exclude(concurrency_key=""):
            key = next(name for name in names_in(row.slots) if name.kind is SlotKind.KEY)
            assert truth[key] <= LIMITS[row.concurrency_key]
        pairs = TaskRun.objects.filter(task_path=tasks.in_pairs.module_path, status__in=LEASED)
        assert pairs.count() <= 2


@pytest.mark.seed("TR-10")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lives)
def test_places_are_never_exceeded_and_come_back(db: None, life: list[tuple[Any, ...]]) -> None:
    with transaction.atomic(), testing.frozen():
        house = House()
        for deed, first, second, third in life:
            if deed == "enqueue":
                house.enqueue(first, second, third)
            elif deed == "claim":
                house.claim(first, second)
            elif deed == "kill":
                house.kill(first)
            elif deed in ("cancel", "retry", "answer"):
                house.operate(deed, second)
            else:
                house.write(deed, second)
            house.judge()
        _come_to_an_end(house)
        transaction.set_rollback(True)


def _come_to_an_end(house: House) -> None:
    """Everything that is open can be brought to its end: no place was lost."""
    for _ in range(200):
        testing.advance(5)
        house.operate("answer", 0)
        house.claim("w1", 9)
        while house.held:
            house.write("end", 0)
        house.judge()
        if not TaskRun.objects.exclude(status__in=FINISHED).exists():
            return
    raise AssertionError(list(TaskRun.objects.exclude(status__in=FINISHED).values("status", "lane", "concurrency_key")))
