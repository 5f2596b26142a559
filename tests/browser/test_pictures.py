"""Pictures of every page, light and dark, from the example project at work: `python -m tests.browser --pictures -k pictures`."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from playwright.sync_api import expect

from django_tasks_durable.models import Rollup, RollupCursor, Schedule, TaskRun, Tick
from django_tasks_durable.primitives.spans import Grain
from django_tasks_durable.store import queues, schedules, vendors
from example_project.airports import tasks as airports
from example_project.chat import tasks as chat
from example_project.checkout.tasks import checkout
from example_project.payment.tasks import IntervalPayment
from example_project.pipeline.tasks import pipeline
from example_project.reports.tasks import generate_report
from tests.browser.conftest import TOLD as PROCESSES
from tests.browser.house import ROOT, House, wait_until
from tests.browser.visitor import Visitor, superuser

ADMIN = "/admin/durable_tasks"
IMPORT = "example_project.airports.tasks.import_airports"
CHECKOUT = "example_project.checkout.tasks.checkout"
STORY = "example_project.chat.tasks.tell"
REPORT = "example_project.reports.tasks.generate_report"
DECLINED = "example_project.checkout.tasks.CardDeclined"
# Pages that are told what happens; the picture is taken when they are.
TOLD = frozenset({"overview", "tasks", "task-import", "task-workflow", "task-story", "task-queued"})
SHOWN_NARROW = frozenset({"overview", "tasks", "task-import", "task-queued"})
# An import on a busy machine.
LONG = 300.0
WIDE = {"width": 1440, "height": 900}
NARROW = {"width": 390, "height": 844}


@pytest.fixture
def house(child_environment: dict[str, str], tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[House]:
    """Give the example project's own site and workers, which know nothing of the tests' tasks."""
    as_it_is = {"DJANGO_SETTINGS_MODULE": "example_project.settings", "SECRET_KEY": settings.SECRET_KEY}
    house = House(child_environment, tmp_path, **as_it_is)
    try:
        request.node.stash.setdefault(PROCESSES, {})["house"] = house.story
        house.open_site()
        yield house
    finally:
        house.close()


def an_hour_of_work() -> None:
    """Write down what an hour came to, as maintenance would have."""
    now = vendors.session().now_at().replace(second=0, microsecond=0)
    # What this machine really did in a minute would stand out among the made up ones.
    RollupCursor.objects.update_or_create(pk=1, defaults={"step_id": 2**40})
    Rollup.objects.all().delete()
    for minute in range(60):
        busy = 14 + 9 * math.sin(minute / 7) + minute % 5
        for path, queue_name, share in (
            (IMPORT, airports.QUEUE, 0.1),
            (CHECKOUT, "default", 0.5),
            (STORY, "default", 0.25),
            (REPORT, "reports", 0.15),
        ):
            failed = 3 * (path == CHECKOUT and minute in (17, 18, 41))
            Rollup.objects.create(
                grain=Grain.MINUTE, begins_at=now - timedelta(minutes=minute), task_path=path, queue_name=queue_name,
                started=int(busy * share) + failed, succeeded=int(busy * share), failed=failed,
                cancelled=int(path == STORY and minute % 19 == 3),
                waits=f'{{"{8 + busy // 6:.0f}": 20, "{10 + busy // 5:.0f}": 2}}',
                durations=f'{{"{11 + busy // 7:.0f}": 20, "{13 + busy // 6:.0f}": 3}}',
                failures=f'{{"{DECLINED}": {failed}}}' if failed else "{}",
            )  # fmt: skip
    for hour in range(24 * 7):
        begins_at = (now - timedelta(hours=hour)).replace(minute=0)
        for path, every, failures in (
            (CHECKOUT, 5, {DECLINED: 4}),
            (IMPORT, 31, {"django.db.utils.OperationalError": 1}),
            (REPORT, 47, {"builtins.TimeoutError": 2}),
        ):
            failed = failures if hour % every == 1 else {}
            Rollup.objects.create(
                grain=Grain.HOUR, begins_at=begins_at, task_path=path, queue_name="default", started=40,
                succeeded=37, failed=sum(failed.values()), failures=json.dumps(failed),
            )  # fmt: skip


def some_schedules() -> None:
    """Write schedules, with what became of the ticks of a day."""
    now = vendors.session().now_at().replace(minute=0, second=0, microsecond=0)
    ended = list(TaskRun.objects.filter(finished_at__isnull=False))
    for name, path, timing in (
        ("refresh-airports", IMPORT, {"cron": "0 * * * *"}),
        ("nightly-report", REPORT, {"cron": "30 3 * * *"}),
        ("check-orders", CHECKOUT, {"interval_seconds": 900}),
    ):
        schedules.write(Schedule(name=name, task_path=path, **timing), using="default")
        for place in range(24):
            at, run = now - timedelta(minutes=59 * place), random.Random(place * len(name)).choice(ended)
            Tick.objects.create(schedule=name, tick=at, run_id=run.id, outcome="enqueued", created_at=at)
    schedules.pause("nightly-report", using="default")


def a_house_at_work(house: House) -> dict[str, Any]:
    """Let the examples run, and return the tasks that pictures are taken of."""
    ada = {"enqueued_by": superuser().username}
    demo = {"enqueued_by": "manage.py demo"}
    house.start_worker("--worker-id", "berlin", "--concurrency", "4")
    house.start_worker("--worker-id", "lyon", "--concurrency", "4", "--queue-name", airports.QUEUE)
    for title, pages in (("The harbour", 3), ("The crossing", 5), ("The island", 2)):
        chat.chapter.using(metadata=demo).enqueue(title, pages)
    for order, cents in (("1047", 4_990), ("1048", 12_900), ("1049", 1_750)):
        checkout.using(metadata=ada).enqueue(order, cents)
    generate_report.using(metadata=ada).enqueue("sales-2026-10")
    declined = checkout.using(max_attempts=2, metadata=ada).enqueue("1050", 780_000)
    checkout.enqueue("1051", 1_250_000)
    story = chat.tell.using(metadata=demo).enqueue(chat.STORY, chat.ENDING)
    pipeline.enqueue({"europe": ["extract", "load"], "asia": ["extract", "load", "report"]})
    payment = IntervalPayment.task.enqueue()
    with_key = airports.import_airports.using(concurrency_key="airports", hold_key=True, metadata=ada)
    asking = with_key.enqueue(400)
    wait_until(lambda: payment.snapshot().wake_reason == "sleep", "the payment's cycle has begun", seconds=LONG)
    for result, status in ((story, "WAITING"), (declined, "FAILED"), (asking, "WAITING")):
        wait_until(lambda result=result, status=status: read(result) == status, status, seconds=LONG)
    wait_until(
        lambda: not TaskRun.objects.filter(queue_name="reports", finished_at=None).exists(), "the report is made"
    )
    queues.limit("reports", using="default", by="ada", concurrency=2, rate="10/minute")
    queues.pause(["reports"], using="default", by="ada")
    for month in ("11", "12"):
        generate_report.using(metadata=ada).enqueue(f"sales-2026-{month}")
    behind = with_key.enqueue(400)
    moving = airports.import_airports.using(metadata=demo).enqueue(40)
    wait_until(lambda: read(moving) == "RUNNING", "the other import runs", seconds=LONG)
    for failed in TaskRun.objects.exclude(errors="[]"):
        # Where this checkout lies is nothing for a picture.
        TaskRun.objects.filter(pk=failed.pk).update(errors=failed.errors.replace(f"{ROOT}/", ""))
    some_schedules()
    an_hour_of_work()
    return {"import": asking, "failed": declined, "workflow": payment, "story": story, "queued": behind}


def read(result: Any) -> str:
    """Return the status of a task."""
    return str(result.snapshot().status)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_pictures_of_every_page(house: House, visit: Callable[..., Visitor], picture: Callable[..., Path]) -> None:
    found = a_house_at_work(house)
    too_wide: list[str] = []
    pages = {
        "overview": f"{ADMIN}/taskrun/overview/",
        "tasks": f"{ADMIN}/taskrun/",
        "inbox": f"{ADMIN}/taskrun/inbox/",
        "queues": f"{ADMIN}/queue/",
        "workers": f"{ADMIN}/worker/",
        "schedules": f"{ADMIN}/schedule/",
        **{f"task-{name}": f"{ADMIN}/taskrun/{result.id}/change/" for name, result in found.items()},
        "confirm": f"{ADMIN}/taskrun/{found['failed'].id}/act/copy/",
    }
    for kind, window in {
        "light": {"color_scheme": "light", "viewport": WIDE},
        "dark": {"color_scheme": "dark", "viewport": WIDE},
        "narrow": {"color_scheme": "light", "viewport": NARROW},
    }.items():
        visitor = visit(**window)
        for name, address in pages.items():
            visitor.page.goto(address)
            expect(visitor.page.locator(".dtd-page, .dtd-nav").first).to_be_visible()
            lamp = visitor.page.locator("[data-lamp]:visible")
            if name in TOLD:
                expect(lamp).to_have_attribute("data-lamp", "live")
            assert "tests." not in visitor.page.locator("body").inner_text(), name
            if kind != "narrow" or name in SHOWN_NARROW:
                taken = picture(visitor.page, f"{name}-{kind}")
                assert taken.stat().st_size < 200_000, name
            if visitor.page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                too_wide.append(f"{name}-{kind}")
        assert visitor.complaints == []
    assert too_wide == []
