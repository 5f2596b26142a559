"""What a user's tests of their tasks do with django_tasks_durable.testing and the pytest plugin."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.test import TestCase

from django_tasks_durable import task, testing
from django_tasks_durable.exceptions import NotWaiting
from django_tasks_durable.primitives.status import RunStatus, State
from tests.probe import effects

ROOT = Path(__file__).resolve().parent.parent.parent
done: list[str] = []


@task(max_deliveries=3)
def checkout(context: Any, order: int) -> str:
    """Reserve, pay, ask and ship."""
    context.step("reserve", done.append, "reserve")
    context.step("pay", effects.record, "pay", atomic=True)
    allowed = context.approval("ship", {"question": "Ship?"})
    context.sleep("packing", hours=1)
    return f"{order} {'shipped' if allowed else 'kept'}"


class InsideATestCase(TestCase):
    """All of it works in a transaction that is rolled back."""

    def setUp(self) -> None:
        done.clear()

    def test_a_task_from_its_call_to_its_end(self) -> None:
        with testing.frozen():
            checkout.enqueue(7)
            (result,) = testing.assert_enqueued(checkout, args=[7], times=1)
            testing.drain()
            testing.answer(result, True, key="ship")
            testing.drain()
            testing.advance(3600)
            testing.drain()
        result.refresh()
        assert result.return_value == "7 shipped"
        assert done == ["reserve"]
        testing.replay(result)

    def test_what_was_not_enqueued_is_told_with_what_was(self) -> None:
        checkout.enqueue(7)
        with pytest.raises(AssertionError, match=r"checkout\(\*\[7\], \*\*\{\}\)"):
            testing.assert_enqueued(checkout, args=[8])
        with pytest.raises(AssertionError, match="2 time"):
            testing.assert_enqueued(checkout, times=2)
        testing.assert_enqueued(checkout, args=[8], times=0)
        testing.assert_enqueued(checkout, queue_name="elsewhere", times=0)

    def test_an_answer_goes_to_the_question_of_its_key(self) -> None:
        result: Any = checkout.enqueue(7)
        with pytest.raises(NotWaiting):
            testing.answer(result, True)
        testing.drain()
        with pytest.raises(LookupError, match="ship"):
            testing.answer(result, True, key="sail")
        testing.answer(result, False, key="ship")
        result.refresh()
        assert result.state is State.QUEUED


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("key", "committed", "reserved"),
    [("reserve", False, 2), ("reserve", True, 1), ("step:reserve", False, 2), ("pay", False, 1), ("pay", True, 1)],
)
def test_a_worker_dies_at_a_step_and_another_goes_on(key: str, committed: bool, reserved: int) -> None:
    done.clear()
    result: Any = checkout.enqueue(7)
    with testing.crash_at(key, committed=committed):
        testing.drain()
    result.refresh()
    assert result.state is State.WAITING
    assert done == ["reserve"] * reserved
    assert effects.times("pay") == 1


@pytest.mark.django_db
def test_a_run_that_is_lost_three_times_in_a_row_has_failed() -> None:
    result: Any = checkout.enqueue(7)
    with testing.crash_at("reserve", times=3):
        testing.drain()
    result.refresh()
    assert result.snapshot().status is RunStatus.FAILED
    assert result.errors[-1].exception_class_path.endswith("WorkerCrashed")


@pytest.mark.django_db
def test_a_crash_that_never_came_is_told() -> None:
    checkout.enqueue(7)
    with pytest.raises(AssertionError, match="refund"), testing.crash_at("refund"):
        testing.drain()


@task
def renamed(context: Any, key: str) -> None:
    """Do a step whose key the code decides."""
    context.step(KEYS[key], str)
    context.interrupt()


KEYS = {"now": "load"}


@pytest.mark.django_db
def test_a_replay_tells_code_that_has_moved_on(monkeypatch: pytest.MonkeyPatch) -> None:
    result: Any = renamed.enqueue("now")
    testing.drain()
    testing.replay(result)
    monkeypatch.setitem(KEYS, "now", "fetch")
    with pytest.raises(AssertionError, match="fetch"):
        testing.replay(result)


@pytest.mark.databases("sqlite")
def test_the_plugin_gives_fixtures_to_a_project_that_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "test_shop.py").write_text(
        "from tests.probe.tasks import add, naps\n"
        "def test_sum(drain_tasks):\n"
        "    result = add.enqueue(1, 2)\n"
        "    assert drain_tasks() == [result.run_id]\n"
        "    result.refresh()\n"
        "    assert result.return_value == 3\n"
        "def test_nap(drain_tasks, frozen_clock):\n"
        "    result = naps.enqueue()\n"
        "    drain_tasks()\n"
        "    frozen_clock(10_000)\n"
        "    drain_tasks()\n"
        "    result.refresh()\n"
        "    assert result.is_finished\n"
    )
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)}
    plugins = ("pytest_django.plugin", "django_tasks_durable.pytest_plugin")
    outcome = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", "--ds", "tests.settings", "--rootdir", str(tmp_path),
         *(word for plugin in plugins for word in ("-p", plugin)), str(tmp_path)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "2 passed" in outcome.stdout, outcome.stdout + outcome.stderr


@pytest.mark.databases("sqlite")
def test_the_plugin_is_found_by_pytest_where_the_package_is_installed() -> None:
    from configparser import ConfigParser

    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    assert config["options.entry_points"]["pytest11"].strip() == "durable_tasks = django_tasks_durable.pytest_plugin"
