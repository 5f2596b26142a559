"""``manage.py tasks export`` and ``import``: a task as a file, from one database into another."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.management import CommandError, call_command
from django.db import connections

from django_tasks_durable import restore, snapshot_of, testing
from django_tasks_durable.models import Step, TaskRun
from tests.engine import samples
from tests.store.acts import everything
from tests.store.carried import traveller

pytestmark = pytest.mark.django_db


def tasks(*arguments: str) -> str:
    """Run the command and return what it wrote."""
    out = StringIO()
    call_command("tasks", *arguments, stdout=out, no_color=True)
    return out.getvalue()


@pytest.fixture
def asking() -> Any:
    """A task with some history that asks."""
    result = traveller.enqueue(1)
    testing.drain()
    return result


@pytest.fixture
def file(tmp_path: Path, asking: Any) -> Path:
    """What was exported of it."""
    path = tmp_path / "run.json"
    tasks("export", asking.id, "--output", str(path))
    return path


def test_a_task_is_exported_to_the_terminal_as_the_result_does_it(asking: Any) -> None:
    shown = json.loads(tasks("export", asking.id))
    told = asking.export()
    assert shown["steps"] == told["steps"] != {}
    assert "token" not in json.dumps(shown)
    assert "token" in tasks("export", asking.id, "--with-tokens")


def test_an_exported_task_is_imported_and_goes_on(file: Path, asking: Any) -> None:
    TaskRun.objects.all().delete()
    told = json.loads(tasks("import", str(file), "--json"))
    assert (told["id"], told["imported"], told["state"]) == (asking.id, True, "waiting")
    asking.resume("yes")
    testing.drain()
    asking.refresh()
    assert asking.return_value == [{"total": 1}, "yes"]
    line = Step.objects.get(run_id=asking.id, kind="audit", message__startswith="Imported")
    assert "@" in line.message


def test_an_imported_task_may_stand_beside_the_one_it_was(file: Path, asking: Any) -> None:
    new = tasks("import", str(file), "--as-new-id").split()[0]
    assert new != asking.id
    assert TaskRun.objects.count() == 2


def test_every_reason_is_told_at_once_and_nothing_is_changed(file: Path, asking: Any) -> None:
    document = json.loads(file.read_text())
    document["durable"]["attempts"] = "many"
    document["durable"]["status"] = "GONE"
    document["warnings"] = [{"type": "lossy_value", "stepId": "step:load", "path": "value", "reason": "non-json"}]
    file.write_text(json.dumps(document))
    before = everything()
    with pytest.raises(CommandError) as caught:
        tasks("import", str(file), "--task", "shop.tasks.other")
    assert everything() == before
    for said in ("$.durable.attempts", "$.durable.status", "shop.tasks.other", "--as-new-id", "--lossy"):
        assert said in str(caught.value)
    out = StringIO()
    with pytest.raises(CommandError):
        call_command("tasks", "import", str(file), "--json", stdout=out)
    assert len(json.loads(out.getvalue())["problems"]) == 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"formatVersion": 2}, "update this package"),
        ({"durable": {"format": 9}}, "update this package"),
        ({"durable": {"task_path": "gone.tasks.gone"}}, "knows no task gone.tasks.gone"),
    ],
    ids=["newer snapshot", "newer format of ours", "unknown task"],
)
def test_what_this_process_cannot_go_on_with_is_refused(file: Path, change: dict[str, Any], said: str) -> None:
    document = json.loads(file.read_text())
    for name, value in change.items():
        document[name] = {**document[name], **value} if isinstance(value, dict) else value
    file.write_text(json.dumps(document))
    with pytest.raises(CommandError, match=said):
        tasks("import", str(file), "--as-new-id")


def test_a_file_that_is_cut_short_or_missing_is_refused(file: Path, tmp_path: Path) -> None:
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(CommandError, match="cut short"):
        tasks("import", str(file), "--as-new-id")
    with pytest.raises(CommandError, match="cannot be read"):
        tasks("import", str(tmp_path / "nothing.json"))


def test_a_snapshot_of_awaitly_is_imported_for_a_task_that_is_named(tmp_path: Path) -> None:
    path = tmp_path / "awaitly.json"
    path.write_text(json.dumps(snapshot_of({"load": {"total": 7}}, metadata={"input": 7})))
    with pytest.raises(CommandError, match="give --task"):
        tasks("import", str(path))
    run_id = tasks("import", str(path), "--task", traveller.module_path).split()[0]
    testing.drain()
    assert restore(json.loads(tasks("export", run_id))).snapshot.steps["load"] == {"total": 7}


def test_a_file_with_lost_values_is_taken_when_asked_for(file: Path) -> None:
    document = json.loads(file.read_text())
    document["warnings"] = [{"type": "lossy_value", "stepId": "step:load", "path": "value", "reason": "non-json"}]
    file.write_text(json.dumps(document))
    assert json.loads(tasks("import", str(file), "--as-new-id", "--lossy", "--json"))["imported"]


async def test_the_asynchronous_twin_exports_as_well(transactional_db: None) -> None:
    result = await samples.add.aenqueue(1)
    assert (await result.aexport())["workflowName"] == samples.add.module_path
    await sync_to_async(connections.close_all, thread_sensitive=True)()
