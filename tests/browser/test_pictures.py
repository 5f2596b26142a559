"""Pictures of every page, light and dark, from the example project at work: `python -m tests.browser --pictures -k pictures`."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from django_tasks_durable.models import Rollup, RollupCursor, Schedule, TaskRun, Tick
from django_tasks_durable.primitives.spans import Grain
from django_tasks_durable.store import queues, schedules, vendors
from example_project.airports import tasks as airports
from example_project.chat import tasks as chat
from example_project.payment.tasks import IntervalPayment
from example_project.pipeline import tasks as pipeline
from tests.browser.house import House, wait_until
from tests.browser.visitor import Visitor, superuser
from tests.probe import tasks as probe

ADMIN = "/admin/durable_tasks"
IMPORT = "example_project.airports.tasks.import_airports"
# Pages that are told what happens; the picture is taken when they are.
TOLD = frozenset({"overview", "tasks", "task-import", "task-workflow", "task-story"})


def an_hour_of_work() -> None:
    """Write down what an hour came to, as maintenance would have."""
    now = vendors.session().now_at().replace(second=0, microsecond=0)
    # What this machine really did in a minute would stand out among the made up ones.
    RollupCursor.objects.update_or_create(pk=1, defaults={"step_id": 2**40})
    Rollup.objects.all().delete()
    for minute in range(60):
        busy = 14 + 9 * math.sin(minute / 7) + minute % 5
        for path, share in ((IMPORT, 0.2), ("example_project.chat.tasks.tell", 0.8)):
            failed = int(minute in (17, 18, 41)) * 3
            Rollup.objects.create(
                grain=Grain.MINUTE, begins_at=now - timedelta(minutes=minute), task_path=path, queue_name="default",
                started=int(busy * share) + failed, succeeded=int(busy * share), failed=failed, cancelled=minute % 19 == 3,
                waits=f'{{"{8 + busy // 6:.0f}": 20, "{10 + busy // 5:.0f}": 2}}',
                durations=f'{{"{11 + busy // 7:.0f}": 20, "{13 + busy // 6:.0f}": 3}}',
                failures=f'{{"builtins.TimeoutError": {failed}}}' if failed else "{}",
            )  # fmt: skip
    for hour in range(24 * 7):
        begins_at = (now - timedelta(hours=hour)).replace(minute=0)
        failures = '{"builtins.ValueError": 2, "builtins.TimeoutError": 1}'
        Rollup.objects.create(
            grain=Grain.HOUR, begins_at=begins_at, task_path=IMPORT, queue_name="default", started=40,
            succeeded=37, failed=3 if hour % 11 == 4 else 0, failures=failures if hour % 11 == 4 else "{}",
        )  # fmt: skip


def some_schedules() -> None:
    """Write schedules, with what became of the ticks of a day."""
    now = vendors.session().now_at().replace(minute=0, second=0, microsecond=0)
    ended = list(TaskRun.objects.filter(finished_at__isnull=False))
    for name, timing in {
        "refresh-airports": {"cron": "0 * * * *"}, "nightly-report": {"cron": "30 3 * * *"}, "poll-bank": {"interval_seconds": 900},
    }.items():  # fmt: skip
        schedules.write(Schedule(name=name, task_path=IMPORT, **timing), using="default")
        for place in range(24):
            at, run = now - timedelta(minutes=59 * place), random.Random(place * len(name)).choice(ended)
            Tick.objects.create(schedule=name, tick=at, run_id=run.id, outcome="enqueued", created_at=at)
    schedules.pause("nightly-report", using="default")


def a_house_at_work(house: House) -> dict[str, Any]:
    """Let the examples run, and return the tasks that pictures are taken of."""
    user = superuser()
    for number in range(4):
        chat.tell.using(metadata={"enqueued_by": user.username}).enqueue(chat.STORY, chat.ENDING)
        probe.echo.enqueue(number)
    story = chat.tell.using(metadata={"enqueued_by": "manage.py demo"}).enqueue(chat.STORY, chat.ENDING)
    payment = IntervalPayment.task.enqueue()
    pipeline.pipeline.enqueue({"europe": ["extract", "load"], "asia": ["extract", "load", "report"]})
    failed = probe.fails.using(max_attempts=2).enqueue("The card was declined by the bank.")
    probe.fails.enqueue("Connection reset by peer")
    for number in range(3):
        probe.naps.enqueue(3600 * (number + 1))
    probe.elsewhere.enqueue()
    queues.pause(["other"], using="default", by="ada")
    running = airports.import_airports.using(metadata={"enqueued_by": user.username}).enqueue(200)
    house.start_worker("--concurrency", "3")
    wait_until(lambda: read(running) == "WAITING", "the import asks")
    again = airports.import_airports.using(metadata={"enqueued_by": user.username}).enqueue(40)
    wait_until(lambda: read(again) == "RUNNING", "the other import runs")
    some_schedules()
    an_hour_of_work()
    return {"import": running, "failed": failed, "payment": payment, "story": story, "again": again}


def read(result: Any) -> str:
    """Return the status of a task."""
    return str(result.snapshot().status)


@pytest.mark.slow
def test_pictures_of_every_page(
    house: House, visit: Callable[..., Visitor], picture: Callable[..., Path], pytestconfig: pytest.Config
) -> None:
    found = a_house_at_work(house)
    pages = {
        "overview": f"{ADMIN}/taskrun/overview/",
        "tasks": f"{ADMIN}/taskrun/",
        "inbox": f"{ADMIN}/taskrun/inbox/",
        "queues": f"{ADMIN}/queue/",
        "workers": f"{ADMIN}/worker/",
        "schedules": f"{ADMIN}/schedule/",
        "task-import": f"{ADMIN}/taskrun/{found['import'].id}/change/",
        "task-failed": f"{ADMIN}/taskrun/{found['failed'].id}/change/",
        "task-workflow": f"{ADMIN}/taskrun/{found['payment'].id}/change/",
        "task-story": f"{ADMIN}/taskrun/{found['story'].id}/change/",
        "confirm": f"{ADMIN}/taskrun/{found['failed'].id}/act/copy/",
    }
    for scheme in ("light", "dark"):
        visitor = visit(color_scheme=scheme)
        for name, address in pages.items():
            visitor.page.goto(address)
            expect(visitor.page.locator(".dtd-page, .dtd-nav").first).to_be_visible()
            lamp = visitor.page.locator("[data-lamp]:visible")
            if name in TOLD:
                expect(lamp).to_have_attribute("data-lamp", "live")
            taken = picture(visitor.page, f"{name}-{scheme}")
            assert taken.stat().st_size < 200_000, name
        assert visitor.complaints == []
