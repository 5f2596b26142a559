"""What is counted for charts: each start and end of a run once, some time after it happened."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from types import SimpleNamespace
from uuid import UUID

import pytest

from django_tasks_durable.conf import Options, RetentionPolicy
from django_tasks_durable.models import Rollup, Step, Worker
from django_tasks_durable.primitives.spans import Grain, begin_of, quantile
from django_tasks_durable.primitives.writes import Cancelled, Started, Succeeded, Write
from django_tasks_durable.snapshots import charts
from django_tasks_durable.snapshots.charts import Window
from django_tasks_durable.store import retention, rollups, vendors
from django_tasks_durable.testing import advance, frozen
from django_tasks_durable.worker.loop import WorkerSettings
from django_tasks_durable.worker.maintenance import Maintenance
from tests.probe import tasks
from tests.store import acts

pytestmark = pytest.mark.django_db
ECHO = "tests.probe.tasks.echo"


def live(session: vendors.Session, *ends: str) -> list[UUID]:
    """Let one run live for each end that is named."""
    if not Worker.objects.exists():
        acts.register(session)
    for _ in ends:
        acts.enqueue()
    claimed = acts.claim(session, limit=len(ends))
    for run, end in zip(claimed, ends, strict=True):
        write: dict[str, Write] = {
            "succeeded": Succeeded(lease=run.lease, result="1"),
            "failed": acts.failed(run.lease),
            "retried": acts.failed(run.lease, retry_at=session.now_at() + timedelta(hours=1)),
            "cancelled": Cancelled(lease=run.lease, reason="enough"),
        }
        acts.hand_in(session, run, Started(lease=run.lease), write[end])
    return [run.run_id for run in claimed]


def roll(session: vendors.Session) -> None:
    """Count all that has happened, and what a stopped clock put into the next minute."""
    while rollups.roll(session, settled=-60):
        pass


def test_each_start_and_end_is_counted_once_in_its_minute_and_its_hour(session: vendors.Session) -> None:
    live(session, "succeeded", "succeeded", "failed", "cancelled", "retried")
    roll(session)
    roll(session)

    rows = list(Rollup.objects.order_by("grain"))
    assert [row.grain for row in rows] == [Grain.MINUTE, Grain.HOUR]
    for row in rows:
        assert (row.task_path, row.queue_name) == (ECHO, "default")
        assert (row.started, row.succeeded, row.failed, row.cancelled, row.retried, row.stale) == (5, 2, 1, 1, 1, 0)
        assert row.failures == '{"builtins.ValueError": 1}'
    first = Step.objects.order_by("id").values_list("created_at", flat=True)[0]
    assert rows[0].begins_at == first.replace(second=0, microsecond=0) or rows[0].begins_at > first
    assert (rows[1].begins_at.minute, rows[1].begins_at.second) == (0, 0)


def test_what_came_later_is_added_to_what_was_counted(session: vendors.Session) -> None:
    live(session, "succeeded", "failed")
    roll(session)
    live(session, "failed", "succeeded", "succeeded")
    roll(session)

    chart = charts.chart(Window.DAY, using="default")
    assert (chart.total.started, chart.total.succeeded, chart.total.failed) == (5, 3, 2)
    assert chart.failures_by_task == {ECHO: 2}
    assert chart.failures_by_exception == {"builtins.ValueError": 2}


def test_what_has_just_happened_waits_until_every_earlier_commit_is_seen(session: vendors.Session) -> None:
    live(session, "succeeded")
    assert not rollups.roll(session)
    assert not Rollup.objects.exists()


def test_bites_end_where_the_lines_do(session: vendors.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollups, "BITE", 3)
    live(session, "succeeded", "failed", "cancelled")
    roll(session)
    (row,) = Rollup.objects.filter(grain=Grain.HOUR)
    assert (row.started, row.succeeded, row.failed, row.cancelled) == (3, 1, 1, 1)


def test_waits_and_durations_are_estimated_from_their_histograms(session: vendors.Session) -> None:
    now = session.now_at().replace(second=1)
    with frozen(now):
        acts.register(session)
        acts.enqueue()
        advance(10)
        (run,) = acts.claim(session)
        acts.hand_in(session, run, Started(lease=run.lease))
        advance(3)
        acts.hand_in(session, run, Succeeded(lease=run.lease, result="1"))
        roll(session)
        total = charts.chart(Window.HOUR, using="default").total
    (row,) = Rollup.objects.filter(grain=Grain.MINUTE)
    assert (row.waited_seconds, row.took_seconds) == (pytest.approx(10, abs=0.01), pytest.approx(3, abs=0.01))
    assert total.wait_p50 == pytest.approx(10, rel=0.42)
    assert total.duration_p95 == pytest.approx(3, rel=0.42)


def test_a_quantile_is_within_a_bucket_of_the_truth() -> None:
    assert quantile({}, 0.5) is None
    assert quantile({0: 4}, 1) == pytest.approx(begin_of(1))
    histogram = {10: 50, 20: 45, 30: 5}
    assert begin_of(10) < (quantile(histogram, 0.5) or 0) <= begin_of(11)
    assert begin_of(20) < (quantile(histogram, 0.95) or 0) <= begin_of(21)
    assert begin_of(30) < (quantile(histogram, 0.99) or 0) <= begin_of(31)


def test_a_slice_after_a_sleep_is_no_second_start(session: vendors.Session) -> None:
    with frozen(session.now_at().replace(second=1)) as now:
        acts.register(session)
        acts.enqueue()
        (run,) = acts.claim(session)
        acts.hand_in(session, run, Started(lease=run.lease), acts.asleep(run.lease, now + timedelta(seconds=5)))
        advance(6)
        (run,) = acts.claim(session)
        acts.hand_in(session, run, Started(lease=run.lease), Succeeded(lease=run.lease, result="1"))
    roll(session)
    total = charts.chart(Window.DAY, using="default").total
    assert (total.started, total.succeeded) == (1, 1)


def test_a_lost_worker_is_counted(session: vendors.Session) -> None:
    acts.register(session)
    acts.enqueue()
    (run,) = acts.claim(session)
    acts.hand_in(session, run, Started(lease=run.lease))
    acts.lose_worker(session)
    roll(session)
    assert charts.chart(Window.HOUR, using="default").total.stale == 1


def test_many_exceptions_are_kept_as_the_most_frequent_and_the_others(session: vendors.Session) -> None:
    tally = rollups.Tally()
    tally.failures.update({f"shop.Error{number}": number for number in range(1, 31)})
    kept = rollups.Tally.read([*[0] * 6, "{}", 0.0, "{}", 0.0, tally.values[-1]]).failures
    assert len(kept) == 21
    assert kept["shop.Error30"] == 30
    assert kept.total() == tally.failures.total()


def test_a_run_is_not_deleted_before_it_was_counted(session: vendors.Session) -> None:
    roll(session)
    live(session, "succeeded")
    now_or_never = RetentionPolicy(successful=0)

    assert retention.prune(session, now_or_never).deleted_tasks == 0
    roll(session)
    assert retention.prune(session, now_or_never).deleted_tasks == 1
    assert charts.chart(Window.HOUR, using="default").total.succeeded == 1


def test_old_counts_are_forgotten_minutes_before_hours(session: vendors.Session) -> None:
    for days in (1, 3, 100):
        when = session.now_at() - timedelta(days=days)
        for grain in Grain:
            Rollup.objects.create(grain=grain, begins_at=when, task_path=ECHO, queue_name="default")
    assert rollups.forget(session) == 3
    assert sorted(Rollup.objects.values_list("grain", flat=True)) == [60, 3600, 3600]


def test_charts_reach_back_as_far_as_they_say_without_gaps(session: vendors.Session) -> None:
    live(session, "succeeded", "failed")
    roll(session)
    for window, size, step in ((Window.HOUR, 60, 60), (Window.DAY, 24, 3600), (Window.WEEK, 168, 3600)):
        chart = charts.chart(window, using="default")
        ats = [point.at for point in chart.points]
        assert len(ats) == size
        assert {(after - before).total_seconds() for before, after in pairwise(ats)} == {step}
        assert sum(point.succeeded for point in chart.points) == chart.total.succeeded == 1
        assert chart.per_minute == pytest.approx(2 * 60 / (size * step))
    assert charts.Window.named("7d") is Window.WEEK
    with pytest.raises(ValueError, match="1h, 24h, 7d"):
        Window.named("1y")


def test_a_chart_can_be_of_one_task_or_queue(session: vendors.Session) -> None:
    acts.register(session)
    acts.enqueue(tasks.echo, queue_name="slow")
    acts.enqueue(tasks.add)
    for run in acts.claim(session):
        acts.hand_in(session, run, Started(lease=run.lease), Succeeded(lease=run.lease, result="1"))
    roll(session)
    assert charts.chart(Window.HOUR, using="default").total.succeeded == 2
    assert charts.chart(Window.HOUR, using="default", task_path=ECHO).total.succeeded == 1
    assert charts.chart(Window.HOUR, using="default", queue_name="slow").total.succeeded == 1
    assert charts.chart(Window.HOUR, using="default", queue_name="no").total.succeeded == 0


@pytest.mark.parametrize("number", [1, 50])
def test_a_chart_takes_two_queries_whatever_it_finds(
    session: vendors.Session, number: int, django_assert_num_queries: object
) -> None:
    live(session, *["failed"] * number)
    roll(session)
    with django_assert_num_queries(2):  # type: ignore[operator]
        charts.chart(Window.WEEK, using="default").as_dict()


def test_a_worker_counts_by_itself(session: vendors.Session) -> None:
    with frozen(session.now_at()):
        live(session, "succeeded")
        advance(rollups.SETTLED_SECONDS + 1)
        worker = SimpleNamespace(
            options=Options(),
            settings=WorkerSettings(scheduler=False),
            using="default",
            wanted=acts.wanted,
            writer=SimpleNamespace(wake=lambda: None),
            look_again=lambda: None,
        )
        Maintenance(worker).turn(session)
        assert charts.chart(Window.HOUR, using="default").total.succeeded == 1
