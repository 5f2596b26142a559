"""`manage.py tasks mcp`: what an assistant sees of tasks, over a real pipe, and what a user's desk lets out."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db.models import QuerySet

from django_tasks_durable.exceptions import MayNotAnswer, RunNotFound, UnknownPath
from django_tasks_durable.management.mcp.desk import Desk, NobodyThere, Told
from django_tasks_durable.management.tasks import assisting
from django_tasks_durable.models import Step, TaskRun
from django_tasks_durable.primitives.status import RunStatus
from tests.newcomer.project import ROOT, SETTINGS, Project

from . import rows
from .clients import somebody
from .test_secrets import CANARY, a_leaky_run

SEEING = ("view_taskrun", "view_payload")


@pytest.fixture
def desk(db: None) -> Callable[..., Desk]:
    """Make the desk of a user with these permissions."""

    def made(*permissions: str) -> Desk:
        somebody("ann", *permissions)
        return Desk("ann", backend="default")

    return made


def test_it_lists_the_newest_that_fit(desk: Callable[..., Desk]) -> None:
    old, new = rows.a_run(task_path="shop.tasks.pay"), rows.a_run(task_path="shop.tasks.mail")
    seen = desk(*SEEING)
    assert [each["id"] for each in seen.list_tasks()["tasks"]] == [str(new.pk), str(old.pk)]
    assert [each["id"] for each in seen.list_tasks(task="shop.tasks.pay")["tasks"]] == [str(old.pk)]
    assert len(seen.list_tasks(limit=1)["tasks"]) == 1
    assert seen.list_tasks(state="failed")["tasks"] == []
    with pytest.raises(ValueError, match="There is no state 'broken': give one of queued,"):
        seen.list_tasks(state="broken")


def test_it_shows_a_run_without_its_secrets(desk: Callable[..., Desk]) -> None:
    run = a_leaky_run(status=RunStatus.FAILED, finished_at=rows.later(9), error_code="EXCEPTION")
    told = desk(*SEEING).show_task(str(run.pk))
    assert "in-the-open" in json.dumps(told)
    assert CANARY not in json.dumps(told)
    assert told["task"]["state"] == "failed"
    assert [each["path"] for each in told["checkpoints"]] == ["step:load"]
    assert [line["kind"] for line in told["timeline"]][-1] == "failed"


def test_payloads_are_hidden_from_who_may_not_see_them(desk: Callable[..., Desk]) -> None:
    run = a_leaky_run()
    told = json.dumps([(seen := desk("view_taskrun")).show_task(str(run.pk)), seen.list_questions()])
    assert "in-the-open" not in told
    assert "(hidden)" in told


def not_those_of_pay(user: User, queryset: QuerySet[TaskRun]) -> QuerySet[TaskRun]:
    return queryset.exclude(task_path="shop.tasks.pay")


def test_what_the_user_may_not_see_is_not_there(desk: Callable[..., Desk], settings: Any) -> None:
    run = rows.a_waiting_run("token", task_path="shop.tasks.pay")
    settings.TASKS = {
        "default": {
            "BACKEND": "django_tasks_durable.DurableBackend",
            "OPTIONS": {"visible_to": f"{__name__}.not_those_of_pay"},
        }
    }
    seen = desk(*SEEING, "resume_task")
    assert (seen.list_tasks()["tasks"], seen.list_questions()["questions"]) == ([], [])
    with pytest.raises(RunNotFound):
        seen.show_task(str(run.pk))
    with pytest.raises(RunNotFound):
        seen.answer_question(str(run.pk), True)


def test_nobody_is_shown_nothing(desk: Callable[..., Desk]) -> None:
    with pytest.raises(NobodyThere, match=r"'ann' is no active user with the permission durable_tasks.view_taskrun"):
        desk("view_queue").list_tasks()
    User.objects.filter(username="ann").delete()
    seen = desk(*SEEING)
    assert seen.list_tasks() == {"tasks": []}
    User.objects.update(is_active=False)
    with pytest.raises(NobodyThere):
        seen.list_tasks()


def test_an_answer_takes_the_permissions_and_is_in_the_users_name(desk: Callable[..., Desk]) -> None:
    run = rows.a_waiting_run("token")
    with pytest.raises(MayNotAnswer):
        desk(*SEEING).answer_question(str(run.pk), {"ok": True})
    User.objects.filter(username="ann").delete()
    seen = desk(*SEEING, "resume_task")
    (asked,) = seen.list_questions()["questions"]
    assert "token" not in json.dumps(asked)
    with pytest.raises(UnknownPath):
        seen.answer_question(str(run.pk), True, path="approval:other")
    told = seen.answer_question(str(run.pk), {"ok": True}, path=asked["path"])
    assert told["task"]["state"] == "queued"
    assert "ann" in json.loads(Step.objects.get(run=run, kind="resumed").data).values()


def test_without_the_extra_it_says_what_to_install(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assisting, "find_spec", lambda name: None)
    with pytest.raises(CommandError, match=r"pip install 'django-tasks-durable\[mcp\]'"):
        call_command("tasks", "mcp", "--user", "ann")


def test_a_user_that_there_is_not_is_told_before_anybody_speaks(db: None) -> None:
    pytest.importorskip("mcp")
    with pytest.raises(CommandError, match="'nobody' is no active user"):
        call_command("tasks", "mcp", "--user", "nobody")


class Heard(Desk):
    """A desk that keeps what it is to answer, as it got it."""

    value: Any = "nothing"

    def answer_question(self, task_id: str, value: Any, *, path: str = "") -> Told:
        """Keep the value."""
        self.value = value
        return {"task": {"id": task_id, "path": path}}


@pytest.mark.parametrize(
    "value", ["null", "[1]", '{"a": 1}', "true", "7", '"quoted"', "", "plain", None, [1], 7, False]
)
async def test_an_answer_arrives_as_it_was_given(value: Any) -> None:
    mcp = pytest.importorskip("mcp")
    from django_tasks_durable.management.mcp.server import server  # imports the extra

    desk = Heard("ann", backend="default")
    async with mcp.Client(server(desk, allows_answers=True)) as client:
        told = await client.call_tool("answer_question", {"task_id": "1", "answer": {"value": value}})
    assert not told.is_error
    assert (desk.value, type(desk.value)) == (value, type(value))


@pytest.mark.parametrize("answer", [{}, {"Value": 1}, {"value": 1, "why": "so"}])
async def test_an_answer_without_its_value_is_told_how_to_give_it(answer: Any) -> None:
    mcp = pytest.importorskip("mcp")
    from django_tasks_durable.management.mcp.server import server  # imports the extra

    desk = Heard("ann", backend="default")
    async with mcp.Client(server(desk, allows_answers=True)) as client:
        told = await client.call_tool("answer_question", {"task_id": "1", "answer": answer})
    assert told.is_error
    assert 'Give the answer as {"value": ...}' in told.content[0].text
    assert desk.value == "nothing"


TASKS = """
from django_tasks_durable import task

def those_that_are_printed(user, queryset):
    print("this must not reach the pipe")
    return queryset

@task
def publish(context, number):
    context.step("render", str, number)
    return context.approval("publish", f"Publish {number}?", permission="auth.view_user")
"""
HOOK = """
INSTALLED_APPS += ["bare"]
TASKS["default"]["OPTIONS"] = {"visible_to": "bare.tasks.those_that_are_printed"}
"""
PREPARE = """
from django.contrib.auth.models import Permission, User
from bare.tasks import publish
ann = User.objects.create_user("ann")
ann.user_permissions.set(Permission.objects.filter(codename__in=["view_taskrun", "view_payload", "resume_task", "view_user"]))
print(json.dumps(publish.enqueue(7).id))
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with a task that waits."""
    project = Project(tmp_path, settings=SETTINGS + HOOK, tasks=TASKS)
    project.run("manage.py", "migrate", "-v0")
    return project


@pytest.mark.slow
@pytest.mark.databases("sqlite")
async def test_a_client_reads_and_answers_over_a_pipe(project: Project) -> None:
    mcp = pytest.importorskip("mcp")
    run_id = project.program(PREPARE)
    project.run("manage.py", "runtasks", "--batch")

    def started(*more: str) -> Any:
        arguments = ["manage.py", "tasks", "mcp", "--user", "ann", *more]
        environment = {"PYTHONPATH": str(ROOT), "DJANGO_SETTINGS_MODULE": "bare.settings"}
        return mcp.Client(
            mcp.StdioServerParameters(command=sys.executable, args=arguments, env=environment, cwd=project.folder)
        )

    async with started() as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {"list_tasks", "show_task", "list_questions"}
        assert all(tool.annotations.read_only_hint for tool in tools.values())
        (listed,) = (await client.call_tool("list_tasks", {"state": "waiting"})).structured_content["tasks"]
        assert listed["id"] == run_id
        shown = (await client.call_tool("show_task", {"task_id": run_id})).structured_content
        assert [each["value"] for each in shown["checkpoints"]] == ["7"]
        refused = await client.call_tool("list_tasks", {"state": "broken"})
        assert refused.is_error
        assert "give one of queued" in refused.content[0].text
        assert (await client.call_tool("answer_question", {"task_id": run_id, "answer": {"value": True}})).is_error

    async with started("--allow-answers") as client:
        (asked,) = (await client.call_tool("list_questions", {})).structured_content["questions"]
        assert "Publish 7?" in json.dumps(asked)
        answered = await client.call_tool("answer_question", {"task_id": run_id, "answer": {"value": True}})
        assert answered.structured_content["task"]["state"] == "queued"
        again = await client.call_tool("answer_question", {"task_id": run_id, "answer": {"value": False}})
        assert again.is_error
    project.run("manage.py", "runtasks", "--batch")
    look = "from bare.tasks import publish\nprint(json.dumps(publish.get_result(sys.argv[1]).return_value))"
    assert project.program(look, str(run_id)) is True
