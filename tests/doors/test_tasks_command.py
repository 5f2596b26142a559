"""``manage.py tasks``: what it writes for people and for machines, and what it does."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from django_tasks_durable.models import Step, TaskRun, Wait
from django_tasks_durable.primitives.status import RunStatus, StepKind
from django_tasks_durable.store import vendors

from .rows import a_checkpoint, a_failed_run, a_full_run, a_line, a_run, a_running_run, a_waiting_run
from .tasks import greet

pytestmark = pytest.mark.django_db
assert greet  # its import makes the task known
TERMINAL_TRICKS = "\x1b]0;owned\x07\x9b31m\u202e\r\n"


def tasks(*arguments: str) -> str:
    """Run the command and return what it wrote."""
    out = StringIO()
    call_command("tasks", *arguments, stdout=out, no_color=True)
    return out.getvalue()


def told(*arguments: str) -> Any:
    """Run the command with --json and return what it told."""
    return json.loads(tasks(*arguments, "--json"))


def refusal(*arguments: str) -> str:
    """Run the command and return its complaint."""
    with pytest.raises(CommandError) as caught:
        tasks(*arguments)
    return str(caught.value)


def test_list_shows_the_newest_first_in_columns() -> None:
    old, new = a_run(), a_running_run()
    head, first, second = tasks("list").splitlines()
    assert head.split() == ["ID", "STATE", "TASK", "QUEUE", "ATTEMPT", "PROGRESS", "ENQUEUED", "TOOK"]
    assert first.startswith(new.pk.hex[-8:])
    assert "running" in first
    assert "42 % reading" in first or "43 % reading" in first
    assert second.startswith(old.pk.hex[-8:])


def test_list_is_narrowed() -> None:
    a_run(queue_name="slow", task_path="shop.tasks.ship")
    a_failed_run()
    a_failed_run()
    assert len(told("list")) == 3
    assert len(told("list", "--state", "failed")) == 2
    assert len(told("list", "--queue-name", "slow")) == len(told("list", "--task", "shop.tasks.sh")) == 1
    assert len(told("list", "--limit", "2")) == 2
    assert "There are none." in tasks("list", "--state", "running")


def test_list_for_machines_has_no_payloads() -> None:
    a_full_run()
    [entry] = told("list")
    assert entry["v"] == 1
    assert "args" not in entry


def test_show_tells_the_whole_story() -> None:
    run = a_full_run()
    shown = tasks("show", str(run.pk))
    for word in (
        "shop.tasks.pay",
        "failed",
        "zwei",
        "Traceback",
        "ValueError: no money",
        "step:load",
        "call:child/step:inner",
    ):
        assert word in shown, word
    assert "sesame" not in shown


def test_show_tells_the_token_of_an_open_question() -> None:
    run = a_waiting_run("the-token", request="Go on?")
    shown = tasks("show", run.pk.hex[-8:])
    assert "--token the-token" in shown
    assert "Go on?" in shown


def test_show_for_machines_is_the_snapshot_with_its_parts() -> None:
    shown = told("show", str(a_full_run().pk))
    assert shown["v"] == 1
    assert {"timeline", "checkpoints", "waits", "args", "errors"} <= set(shown)
    assert len(shown["timeline"]) == 6


@pytest.mark.parametrize("length", [4, 8, 32])
def test_the_end_of_an_id_is_enough(length: int) -> None:
    run = a_run()
    assert told("show", run.pk.hex[-length:])["id"] == str(run.pk)


def test_an_id_that_may_mean_several_tasks_is_refused_with_them() -> None:
    first, second = a_run(), a_run()
    complaint = refusal("show", first.pk.hex[:6])
    assert str(first.pk) in complaint
    assert str(second.pk) in complaint
    assert "too short" in refusal("show", "abc")
    assert "no task" in refusal("show", "00000000")


def test_retry_and_cancel_take_several_ids_and_tell_each() -> None:
    failed, other = a_failed_run(), a_failed_run()
    entries = told("retry", str(failed.pk), str(other.pk))
    assert [entry["state"] for entry in entries] == ["queued", "queued"]
    assert [entry["state"] for entry in told("cancel", str(failed.pk), "--reason", "no")] == ["cancelled"]
    assert TaskRun.objects.get(pk=failed.pk).cancel_reason == "no"
    by = json.loads(Step.objects.filter(run=failed).latest("sequence").data)["by"]
    assert "@" in by


def test_one_refusal_does_not_keep_the_others_from_being_done(capsys: pytest.CaptureFixture[str]) -> None:
    failed, running = a_failed_run(), a_running_run()
    out = StringIO()
    with pytest.raises(CommandError, match="1 of 2 refused") as caught:
        call_command("tasks", "retry", str(running.pk), str(failed.pk), stdout=out)
    assert caught.value.returncode == 1
    assert "it is running" in out.getvalue() or "is running" in out.getvalue()
    assert TaskRun.objects.get(pk=failed.pk).status == RunStatus.READY


def test_resume_answers_in_json_or_text() -> None:
    run, other = a_waiting_run("one"), a_waiting_run("two")
    tasks("resume", str(run.pk), '{"ok": true}')
    tasks("resume", str(other.pk), "--text", "yes, please", "--token", "two")
    assert json.loads(Wait.objects.get(run=run).answer or "") == {"ok": True}
    assert json.loads(Wait.objects.get(run=other).answer or "") == "yes, please"


def test_an_answer_that_is_no_json_says_how_to_write_it() -> None:
    run = a_waiting_run()
    assert "--text" in refusal("resume", str(run.pk), "yes")
    assert Wait.objects.get(run=run).answer is None


def test_run_now_makes_a_delayed_task_due() -> None:
    run = a_run(due_at=vendors.session().now_at() + timedelta(hours=1))
    tasks("run-now", str(run.pk))
    assert TaskRun.objects.get(pk=run.pk).due_at <= vendors.session().now_at()


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["lst"], "'list'"),
        (["cancle", "x"], "'cancel'"),
        (["list", "--jsn"], "--json"),
        (["list", "--queue", "a", "--stat"], None),
        (["list", "--stae", "failed"], "--state"),
        (["list", "--state", "faild"], "'failed'"),
        (["retry", "x", "--resaon", "y"], None),
        (["cancel", "x", "--resaon", "y"], "--reason"),
    ],
)
def test_a_misspelt_word_is_answered_with_the_right_one(arguments: list[str], meant: str | None) -> None:
    complaint = refusal(*arguments)
    if meant:
        assert f"Did you mean {meant}?" in complaint


def test_a_known_task_is_enqueued_with_its_arguments() -> None:
    shown = told("enqueue", "tests.doors.tasks.greet", "--args", '["anna"]')
    assert (shown["state"], shown["args"], shown["kwargs"]) == ("queued", ["anna"], {})
    run_id = tasks("enqueue", "tests.doors.tasks.greet", "--kwargs", '{"name": "anna"}').strip()
    assert TaskRun.objects.get(pk=run_id).task_path == "tests.doors.tasks.greet"
    assert "JSON list" in refusal("enqueue", "tests.doors.tasks.greet", "--args", "{}")
    assert "tests.doors.tasks.greet" in refusal("enqueue", "tests.doors.tasks.great")


def test_an_unknown_task_cannot_be_enqueued() -> None:
    assert "knows no task" in refusal("enqueue", "no.such.task")


def test_nothing_that_a_task_wrote_moves_the_cursor() -> None:
    run = a_failed_run(task_path=f"shop.{TERMINAL_TRICKS}", queue_name=TERMINAL_TRICKS, progress_label=TERMINAL_TRICKS)
    error = {"exception_class_path": TERMINAL_TRICKS, "message": TERMINAL_TRICKS, "traceback": TERMINAL_TRICKS}
    TaskRun.objects.filter(pk=run.pk).update(errors=json.dumps([error]), args=json.dumps([TERMINAL_TRICKS]))
    a_line(run, message=TERMINAL_TRICKS, path=TERMINAL_TRICKS)
    a_checkpoint(run, TERMINAL_TRICKS, TERMINAL_TRICKS)
    for written in (
        tasks("list"),
        tasks("show", str(run.pk)),
        tasks("list", "--json"),
        tasks("show", str(run.pk), "--json"),
    ):
        assert not set(written) & set("\x1b\x07\x9b\r\u202e")


def test_list_finds_the_tasks_with_one_key() -> None:
    wanted = greet.using(dedupe_key="report:42", supersede_key="s").enqueue("Ann")
    greet.using(dedupe_key="report:43").enqueue("Bob")
    [listed] = told("list", "--key", "dedupe:report:42")
    assert (listed["id"], listed["keys"]) == (wanted.id, {"dedupe": "report:42", "supersede": "s"})
    assert "dedupe:report:42, supersede:s" in tasks("show", wanted.id)
    assert "is not one of dedupe, idempotency, run, supersede" in refusal("list", "--key", "dedup:a")


@pytest.mark.parametrize("lines", [1, 2000])
def test_a_reader_that_leaves_ends_it_without_a_word(lines: int) -> None:
    """As ``manage.py tasks show ID | head -1`` does; few lines stay in a buffer until the end, many do not."""
    run = a_run()
    Step.objects.bulk_create(
        Step(run=run, sequence=number, kind=StepKind.LOG, message="x" * 80, created_at=run.enqueued_at)
        for number in range(2, lines + 1)
    )
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as out:
        call_command("tasks", "show", str(run.pk), stdout=out)
        out.write("what the interpreter flushes at its end")
