"""Lines that say which run they are about, and Sentry's tags: with the formatters and the middleware that come with the package."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from django_tasks_durable import task, testing
from django_tasks_durable.authoring import middleware
from django_tasks_durable.logs import JsonLines, RunFilter
from django_tasks_durable.models import TaskRun

pytestmark = pytest.mark.django_db
SENTRY = "django_tasks_durable.sentry.sentry"
ROOT = Path(__file__).resolve().parents[2]
shop = logging.getLogger("shop")


@task(max_attempts=1)
def talks(context: Any, address: str) -> None:
    """Write a line in a step, wait, and fail."""
    context.step("say", shop.warning, "reading %s", address)
    context.interrupt("go on?")
    raise ConnectionError(f"no answer from {address}")


@task
async def atalks(context: Any) -> None:
    """Write a line on the event loop."""
    shop.warning("hello", extra={"rows": 3})


@pytest.fixture
def lines() -> Iterator[Any]:
    """Hear what is logged as a project does that copied the guide's LOGGING."""
    heard = StringIO()
    handler = logging.StreamHandler(heard)
    handler.setFormatter(JsonLines())
    handler.addFilter(RunFilter())
    logging.getLogger().addHandler(handler)
    yield lambda: [json.loads(line) for line in heard.getvalue().splitlines()]
    logging.getLogger().removeHandler(handler)


def test_a_line_of_a_task_and_a_line_about_it_name_the_run_and_the_attempt(lines: Any) -> None:
    result: Any = talks.enqueue("postgres://joe:sesame@db/shop")
    testing.drain()
    result.resume(None)
    testing.drain()
    (said,) = [line for line in lines() if line["logger"] == "shop"]
    assert (said["run_id"], said["attempt"], said["level"]) == (result.id, 1, "warning")
    assert said["task_path"] == talks.module_path
    assert said["message"].startswith("reading postgres://")
    (failed,) = [line for line in lines() if line["logger"] == "django_tasks_durable.engine"]
    assert (failed["run_id"], failed["attempt"], failed["level"]) == (result.id, 1, "error")
    assert "ConnectionError" in failed["exception"]
    assert "sesame" not in json.dumps(lines())


def test_a_line_on_the_event_loop_and_one_outside_of_any_task(lines: Any) -> None:
    result = atalks.enqueue()
    testing.drain()
    shop.warning("outside")
    inside, outside = [line for line in lines() if line["logger"] == "shop"]
    assert (inside["run_id"], inside["rows"]) == (result.id, 3)
    assert "run_id" not in outside


class FakeSentry(SimpleNamespace):
    """As much of sentry_sdk as is used."""

    def __init__(self) -> None:
        super().__init__(tags=[], captured=[])

    @contextmanager
    def new_scope(self) -> Iterator[Any]:
        tags: dict[str, Any] = {}
        self.tags.append(tags)
        yield SimpleNamespace(set_tag=tags.__setitem__)

    def capture_exception(self, error: BaseException) -> None:
        self.captured.append((error, dict(self.tags[-1])))


@pytest.fixture
def sdk(settings: Any, monkeypatch: pytest.MonkeyPatch) -> FakeSentry:
    """Install the fake."""
    fake = FakeSentry()
    monkeypatch.setitem(sys.modules, "sentry_sdk", fake)
    settings.TASKS = {"default": {**settings.TASKS["default"], "OPTIONS": {"middleware": [SENTRY]}}}
    return fake


def test_what_a_task_raises_is_reported_with_its_run_and_what_suspends_it_is_not(sdk: FakeSentry) -> None:
    result: Any = talks.enqueue("db")
    testing.drain()
    assert sdk.captured == []
    result.resume(None)
    testing.drain()
    ((error, tags),) = sdk.captured
    assert isinstance(error, ConnectionError)
    assert tags == {
        "durable.run_id": result.id,
        "durable.task": talks.module_path,
        "durable.queue": "default",
        "durable.attempt": 1,
    }
    assert TaskRun.objects.get().status == "FAILED"


def test_tasks_on_the_event_loop_have_a_scope_too(sdk: FakeSentry) -> None:
    atalks.enqueue()
    testing.drain()
    assert [tags["durable.task"] for tags in sdk.tags] == [atalks.module_path]


@pytest.mark.parametrize(
    "words",
    [
        "does not answer (",
        "could not renew its lease for",
        "counts as dead; it drops what it holds",
        "has fallen silent and is declared dead",
        "another worker has taken it over, so nothing more of this attempt is written",
        "the database refused what it wanted stored, so it fails",
        "of tasks that this worker does not know, or pinned to another version of their code",
        "Cannot listen for work (",
        "give no sign of going on",
    ],
)
def test_the_guide_explains_the_lines_that_the_worker_writes(words: str) -> None:
    assert words in (ROOT / "docs" / "guide" / "logging.md").read_text()
    code = "".join(file.read_text() for file in (ROOT / "django_tasks_durable").rglob("*.py"))
    assert words in re.sub(r'"\n\s+"', "", code)


def test_without_sentry_it_stands_aside(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentry_sdk", None)
    settings.TASKS = {"default": {**settings.TASKS["default"], "OPTIONS": {"middleware": [SENTRY]}}}
    result: Any = atalks.enqueue()
    testing.drain()
    result.refresh()
    assert str(result.status) == "SUCCESSFUL"
    assert middleware.unusable(SENTRY, is_async=True) is None
