"""The page of a task: how its time was spent, its attempts, partials, graph; and the acts that are asked about first."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.admin.templatetags.admin_modify import submit_row
from django.template import Context
from django.test import Client
from django.urls import reverse

from django_tasks_durable import channel
from django_tasks_durable.models import Step, TaskRun
from django_tasks_durable.primitives.status import RunStatus, StepKind
from django_tasks_durable.snapshots import read, spans
from django_tasks_durable.snapshots.spans import SpanKind
from django_tasks_durable.store import vendors
from example_project.payment.tasks import IntervalPayment

from .clients import act_on, page_of, said, somebody, text_of
from .rows import AT, a_checkpoint, a_failed_run, a_full_run, a_line, a_run, a_running_run, a_waiting_run, later
from .tasks import greet

LIST = "admin:durable_tasks_taskrun_changelist"
pytestmark = pytest.mark.django_db


def a_story(*kinds: tuple[StepKind, float], **columns: object) -> TaskRun:
    """Make a run whose timeline says these things at these seconds."""
    run = a_run(**columns)
    for kind, seconds in kinds:
        a_line(run, kind, attempt=1, message="worker-1" if kind is StepKind.CLAIMED else "", created_at=later(seconds))
    return run


def spent(run: TaskRun) -> list[tuple[str, float]]:
    """Tell how a run spent its time."""
    return [(span.kind.slug, span.seconds) for span in spans.spans(read.one(run.pk, using="default"), using="default")]


# --- time


def test_time_is_told_span_by_span() -> None:
    run = a_story(
        (StepKind.CLAIMED, 2), (StepKind.STARTED, 2), (StepKind.STEP, 3), (StepKind.SLEEPING, 5), (StepKind.CLAIMED, 65),
        (StepKind.WAITING, 66), (StepKind.RESUMED, 166), (StepKind.CLAIMED, 167), (StepKind.SUCCEEDED, 170),
        status=RunStatus.SUCCESSFUL, started_at=later(2), finished_at=later(170),
    )  # fmt: skip
    assert spent(run) == [
        ("queued", 2),
        ("ran", 3),
        ("slept", 60),
        ("ran", 1),
        ("asked", 100),
        ("queued", 1),
        ("ran", 3),
    ]
    totals = spans.totals(spans.spans(read.one(run.pk, using="default"), using="default"))
    assert totals == {SpanKind.QUEUED: 3, SpanKind.RAN: 7, SpanKind.SLEPT: 60, SpanKind.ASKED: 100}


def test_a_lost_worker_and_a_retry_begin_a_new_wait() -> None:
    lost = a_story((StepKind.CLAIMED, 1), (StepKind.STALE, 9), (StepKind.CLAIMED, 11), (StepKind.FAILED, 12))
    TaskRun.objects.filter(pk=lost.pk).update(status=RunStatus.FAILED, started_at=later(1), finished_at=later(12))
    assert spent(lost) == [("queued", 1), ("ran", 8), ("queued", 2), ("ran", 1)]
    a_line(lost, StepKind.AUDIT, message="Retried", created_at=later(20))
    a_line(lost, StepKind.CLAIMED, created_at=later(25))
    a_line(lost, StepKind.SUCCEEDED, created_at=later(26))
    assert spent(lost)[4:] == [("queued", 5), ("ran", 1)]


def test_a_run_without_lines_is_told_from_its_columns() -> None:
    run = a_run(status=RunStatus.SUCCESSFUL, started_at=later(2), finished_at=later(5), lease_worker="worker-1")
    Step.objects.filter(run=run).delete()
    assert spent(run) == [("queued", 2), ("ran", 3)]


def test_the_page_draws_the_time_and_lists_the_attempts(root: Client) -> None:
    run = a_full_run()
    shown = text_of(root.get(page_of(run)))
    assert 'class="dtd-band"' in shown
    assert "Waited for a worker" in shown
    assert "Attempt 1" in shown
    assert "ValueError" in shown


def test_partial_results_are_shown_in_order(root: Client) -> None:
    run = a_running_run()
    for word in ("one", "two", "three"):
        a_line(run, StepKind.PARTIAL, data=json.dumps(word))
    shown = text_of(root.get(page_of(run)))
    listed = shown[shown.index('data-id="partials-list"') :]
    assert listed.index("one") < listed.index("two") < listed.index("three")
    assert "two" not in text_of(somebody("viewer", "view_taskrun").get(page_of(run)))


# --- the graph


def test_a_workflow_is_drawn_with_its_current_step(root: Client) -> None:
    path = IntervalPayment.task.module_path
    run = a_running_run(task_path=path, workflow_step="wait_cycle", visit=2, workflow_state="{}")
    shown = text_of(root.get(page_of(run)))
    assert "The workflow stands at wait_cycle." in shown
    current = shown[shown.index('data-standing="current"') :]
    assert current.startswith('data-standing="current"><title>wait_cycle</title>')
    over = a_failed_run(task_path=path, workflow_step="bill", visit=3, workflow_state="{}")
    assert "The workflow has ended." in text_of(root.get(page_of(over)))
    assert "dtd-graph" not in text_of(root.get(page_of(a_run())))


# --- who enqueued it


def test_the_summary_names_who_enqueued_it(root: Client) -> None:
    def names(run: TaskRun, name: str) -> bool:
        shown = text_of(root.get(page_of(run)))
        return "Enqueued by" in shown and name in shown

    assert names(a_run(metadata=json.dumps({"enqueued_by": "anna"})), "anna")
    assert names(a_run(metadata=json.dumps({"schedule": "nightly", "tick": AT.isoformat()})), "schedule nightly")
    assert names(a_run(parent_id=a_run().pk), "another task")
    assert "Enqueued by" not in text_of(root.get(page_of(a_run())))


def test_channels_lead_to_the_tasks_in_them(root: Client) -> None:
    result = greet.using(channels=[channel.scope("team:7")]).enqueue("you")
    other = greet.enqueue("them")
    shown = text_of(root.get(reverse("admin:durable_tasks_taskrun_change", args=[result.id])))
    found = re.search(r'href="([^"]+\?channel=[^"]+)"', shown)
    assert found is not None
    rows = root.get(found[1].replace("&amp;", "&")).context["cl"].result_list
    assert [str(row.pk) for row in rows] == [result.id]
    assert str(other.id) not in [str(row.pk) for row in rows]


# --- acts that are asked about first


@pytest.mark.parametrize("act", ["cancel", "copy", "fork"])
def test_what_cannot_be_undone_is_asked_about_first(root: Client, act: str) -> None:
    run = a_waiting_run(args=json.dumps(["zwei"]))
    a_checkpoint(run, "step:load", 1)
    shown = text_of(root.get(act_on(run, act), {"path": "step:load"}))
    assert "No, take me back" in shown
    assert run.task_path in shown
    assert page_of(run) in shown
    assert TaskRun.objects.count() == 1
    assert not LogEntry.objects.exists()


def test_a_question_about_arguments_hides_them_from_those_who_may_not_see_them() -> None:
    run = a_failed_run(args=json.dumps(["zwei"]))
    client = somebody("clerk", "view_taskrun", "copy_task")
    assert "zwei" not in text_of(client.get(act_on(run, "copy")))


def test_a_copy_begins_anew_and_says_where_it_comes_from(root: Client) -> None:
    run = a_failed_run(args=json.dumps([7]), metadata=json.dumps({"customer": 3}))
    a_checkpoint(run, "step:load", 1)
    response = root.post(act_on(run, "copy"), follow=True)
    copy = TaskRun.objects.exclude(pk=run.pk).get()
    assert response.redirect_chain[-1][0] == page_of(copy)
    assert (copy.status, copy.args, copy.forked_from) == (RunStatus.READY, "[7]", run.pk)
    assert json.loads(copy.metadata) == {"customer": 3, "enqueued_by": "root"}
    assert not copy.checkpoints.exists()
    assert page_of(run) in text_of(response)
    assert f"Copied from {run.pk} by root" in text_of(response)
    assert LogEntry.objects.get().change_message == "Ran the task again as a copy."


def test_a_fork_goes_on_from_the_chosen_place_with_other_values(root: Client) -> None:
    run = a_failed_run()
    a_checkpoint(run, "step:load", 1)
    a_checkpoint(run, "step:pay", 2)
    shown = text_of(root.get(page_of(run)))
    assert f"{act_on(run, 'fork')}?path=step%3Apay" in shown
    root.post(act_on(run, "fork"), {"path": "step:pay", "values": '{"step:load": 5}'})
    fork = TaskRun.objects.exclude(pk=run.pk).get()
    assert [(each.path, each.value) for each in fork.checkpoints.all()] == [("step:load", "5")]
    assert "Forked from" in Step.objects.get(run=fork, kind=StepKind.AUDIT).message


@pytest.mark.parametrize("values", ["[1]", "{", '{"step:nowhere": 1}'])
def test_a_fork_with_values_that_make_no_sense_says_so(root: Client, values: str) -> None:
    run = a_failed_run()
    a_checkpoint(run, "step:pay", 2)
    response = root.post(act_on(run, "fork"), {"path": "step:pay", "values": values}, follow=True)
    assert "errorlist" in text_of(response) or "step:nowhere" in said(response)[0]
    assert TaskRun.objects.count() == 1


def test_asking_about_a_task_that_has_moved_on_says_so_and_shows_its_new_state(root: Client) -> None:
    run = a_failed_run()
    response = root.get(act_on(run, "cancel"), follow=True)
    assert "failed" in said(response)[0]
    assert response.redirect_chain[-1][0] == page_of(run)


@pytest.mark.parametrize(("act", "permission"), [("copy", "copy_task"), ("fork", "fork_task"), ("run_now", "run_task")])
def test_each_of_these_acts_has_its_own_permission(act: str, permission: str) -> None:
    def make() -> TaskRun:
        if act == "run_now":
            return a_run(due_at=vendors.session().now_at() + timedelta(hours=1))
        return a_failed_run()

    run = make()
    a_checkpoint(run, "step:load", 1)
    others = {"cancel_task", "retry_task", "resume_task", "copy_task", "fork_task", "run_task"} - {permission}
    viewer, actor = somebody("viewer", "view_taskrun", *others), somebody("actor", "view_taskrun", permission)
    assert act_on(run, act) not in text_of(viewer.get(page_of(run)))
    assert viewer.post(act_on(run, act), {"path": "step:load"}).status_code == 403
    assert act_on(run, act) in text_of(actor.get(page_of(run)))
    assert actor.post(act_on(run, act), {"path": "step:load"}).status_code == 302


# --- on many


def test_cancelling_many_is_confirmed_and_keeps_its_reason(root: Client) -> None:
    runs = [a_run(), a_run()]
    chosen = {"action": "cancel_tasks", "_selected_action": [run.pk for run in runs]}
    asked = text_of(root.post(reverse(LIST), chosen))
    assert "Cancel: 2 tasks?" in asked
    assert all(str(run.pk) in asked for run in runs)
    assert not TaskRun.objects.filter(status=RunStatus.CANCELLED).exists()
    root.post(reverse(LIST), {**chosen, "confirmed": "yes", "reason": "a mistake"})
    assert TaskRun.objects.filter(status=RunStatus.CANCELLED, cancel_reason="a mistake").count() == 2
    assert LogEntry.objects.count() == 2


def test_many_are_run_again_as_copies(root: Client) -> None:
    run = a_failed_run()
    chosen = {"action": "copy_tasks", "_selected_action": [run.pk], "confirmed": "yes"}
    assert said(root.post(reverse(LIST), chosen, follow=True)) == ["Run again as a copy: 1 task."]
    assert TaskRun.objects.filter(forked_from=run.pk).count() == 1


def test_each_kind_of_key_is_named(root: Client) -> None:
    run = a_run(**{column: f"my {kind}" for kind, column in read.KEY_COLUMNS.items()})
    shown = text_of(root.get(page_of(run)))
    assert all(f"my {kind}" in shown for kind in read.KEY_COLUMNS)


def test_a_theme_that_shows_the_buttons_of_a_form_finds_that_there_are_none(root: Client) -> None:
    shown = submit_row(Context(root.get(page_of(a_failed_run())).context_data))
    assert not any(shown[name] for name in ("show_save", "show_save_and_continue", "show_delete_link"))
