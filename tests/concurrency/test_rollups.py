"""Workers that count at once count each line once."""

from __future__ import annotations

import pytest

from django_tasks_durable.models import Rollup, RollupCursor, Step
from django_tasks_durable.primitives.spans import Grain
from django_tasks_durable.primitives.writes import Started, Succeeded
from django_tasks_durable.store import rollups, vendors
from tests.store import acts

from .barrier import side_by_side

pytestmark = pytest.mark.django_db(transaction=True)
WORKERS = 4
RUNS = 30


def test_four_workers_that_count_at_once_count_each_end_once(
    session: vendors.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollups, "BITE", 7)
    acts.register(session)
    for _ in range(RUNS):
        acts.enqueue()
    for run in acts.claim(session, limit=RUNS):
        acts.hand_in(session, run, Started(lease=run.lease), Succeeded(lease=run.lease, result="1"))

    last = Step.objects.order_by("-id").values_list("id", flat=True)[0]

    def count_all(own: vendors.Session) -> None:
        while not RollupCursor.objects.filter(step_id=last).exists():
            rollups.roll(own, settled=0)

    side_by_side(*[count_all] * WORKERS)
    found = Rollup.objects.filter(grain=Grain.HOUR).values_list("started", "succeeded")
    assert [sum(counts) for counts in zip(*found, strict=True)] == [RUNS, RUNS]
