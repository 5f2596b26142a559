"""Producers: a run exists if and only if the caller's transaction commits."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction

from django_tasks_durable import signals
from django_tasks_durable.exceptions import NotSerializable, PayloadTooLarge
from django_tasks_durable.models import Step, TaskRun
from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.store import intake, vendors
from tests.probe import tasks
from tests.store import acts


class Changed(Exception):
    """The caller changed its mind."""


@pytest.mark.django_db
def test_a_run_is_ready_and_its_timeline_has_begun() -> None:
    run = acts.run(acts.enqueue(tasks.add, 1, 2))

    assert (run.status, run.task_path, json.loads(run.args), run.kwargs) == (
        RunStatus.READY, "tests.probe.tasks.add", [1, 2], "{}"
    )  # fmt: skip
    assert acts.kinds(run.id) == ["enqueued"]
    assert (run.last_sequence, run.version, run.lease_token) == (1, 1, 0)


@pytest.mark.django_db(transaction=True)
def test_a_run_of_a_transaction_that_rolls_back_never_was() -> None:
    with pytest.raises(Changed), transaction.atomic():
        acts.enqueue()
        raise Changed

    assert not TaskRun.objects.exists()
    assert not Step.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_nobody_else_sees_a_run_before_its_transaction_commits(other_session: vendors.Session) -> None:
    with transaction.atomic():
        run_id = acts.enqueue()
        before = other_session.execute("SELECT COUNT(*) FROM durable_tasks_taskrun")[0][0]
    after = other_session.execute("SELECT COUNT(*) FROM durable_tasks_taskrun")[0][0]

    assert (before, after) == (0, 1)
    assert acts.run(run_id).status == RunStatus.READY


@pytest.mark.django_db(transaction=True)
def test_a_run_of_a_savepoint_goes_with_the_savepoint_only() -> None:
    with transaction.atomic():
        kept = acts.enqueue()
        with pytest.raises(Changed), transaction.atomic():
            acts.enqueue()
            raise Changed

    assert list(TaskRun.objects.values_list("id", flat=True)) == [kept]


@pytest.mark.django_db(transaction=True)
def test_workers_hear_of_a_run_after_the_commit_and_once_a_queue() -> None:
    heard: list[str] = []

    def listen(queue_name: str, **_: object) -> None:
        heard.append(f"{queue_name}:{TaskRun.objects.count()}")

    signals.work_available.connect(listen)
    try:
        with transaction.atomic():
            for _ in range(3):
                acts.enqueue()
            acts.enqueue(tasks.elsewhere)
            assert heard == []
        with pytest.raises(Changed), transaction.atomic():
            acts.enqueue()
            raise Changed
    finally:
        signals.work_available.disconnect(listen)

    assert heard == ["default:4", "other:4"]


@pytest.mark.django_db
def test_many_runs_are_put_in_together_and_in_order() -> None:
    calls = [((number, 1), {}) for number in range(2500)]
    ids = intake.enqueue_many(tasks.add, calls, using="default", backend_alias="default")

    assert len(set(ids)) == 2500
    assert ids == sorted(ids)
    assert json.loads(acts.run(ids[1700]).args) == [1700, 1]
    assert Step.objects.filter(run_id__in=[ids[0], ids[1000], ids[-1]], sequence=1, kind="enqueued").count() == 3
    assert TaskRun.objects.count() == Step.objects.count() == 2500


@pytest.mark.django_db
def test_many_are_all_or_none() -> None:
    calls = [((1, 2), {}), ((1, object()), {})]
    with pytest.raises(NotSerializable):
        intake.enqueue_many(tasks.add, calls, using="default", backend_alias="default")

    assert not TaskRun.objects.exists()


@pytest.mark.django_db
def test_none_is_a_number_of_runs_too() -> None:
    assert intake.enqueue_many(tasks.add, [], using="default", backend_alias="default") == []


HOSTILE = [
    pytest.param({"rows": [{"when": object()}]}, 'args[0]["rows"][0]["when"]', id="object"),
    pytest.param([1, float("nan")], "args[0][1]", id="nan"),
    pytest.param("nul \x00", "args[0]", id="nul"),
    pytest.param("lone \ud800", "args[0]", id="surrogate"),
    pytest.param({1: "int key"}, "args[0]", id="int key"),
    pytest.param(lambda: None, "args[0]", id="function"),
]


@pytest.mark.django_db
@pytest.mark.parametrize(("value", "place"), HOSTILE)
def test_a_hostile_argument_is_refused_by_its_place_before_anything_is_written(value: object, place: str) -> None:
    with pytest.raises(NotSerializable) as refusal:
        acts.enqueue(tasks.echo, value)

    assert refusal.value.path.replace(".", "").startswith(place.replace(".", "")[:7])
    assert not TaskRun.objects.exists()
    assert not Step.objects.exists()


@pytest.mark.django_db
def test_an_argument_over_the_limit_is_refused() -> None:
    with pytest.raises(PayloadTooLarge):
        acts.enqueue(tasks.echo, "x" * 300_000)

    assert not TaskRun.objects.exists()


@pytest.mark.django_db
def test_an_hour_gone_by_is_due_now_and_an_hour_to_come_is_not(session: vendors.Session) -> None:
    acts.register(session)
    early = acts.enqueue(tasks.echo, run_after=datetime(2020, 1, 1, tzinfo=UTC))
    late = acts.enqueue(tasks.echo, run_after=datetime.now(UTC) + timedelta(hours=1))

    row = acts.run(early)
    assert row.run_after == datetime(2020, 1, 1, tzinfo=UTC)
    assert row.due_at == row.enqueued_at
    assert acts.run(late).due_at == acts.run(late).run_after
    assert [run.run_id for run in acts.claim(session)] == [early]


@pytest.mark.django_db
def test_the_rank_is_the_priority_negated() -> None:
    assert acts.run(acts.enqueue(tasks.echo, priority=7)).rank == -7
