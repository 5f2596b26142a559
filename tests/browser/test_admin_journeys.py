"""Journeys through the admin: the import is watched and answered, a task retried and forked, a queue paused."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from example_project.airports import tasks as airports
from example_project.checkout import tasks as checkout
from example_project.payment.tasks import IntervalPayment
from tests.browser import axe
from tests.browser.house import House
from tests.browser.visitor import Visitor
from tests.probe import tasks as probe

ADMIN = "/admin/durable_tasks"
# A journey is as long as its steps are many, each of which may be waited for on a busy machine.
pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def visitor(visit: Callable[..., Visitor]) -> Iterator[Visitor]:
    """Somebody who may do everything, and whose browser has nothing to complain of at the end."""
    visitor = visit()
    yield visitor
    assert visitor.complaints == []


def state(page: Page) -> Locator:
    """Find the state on a task's page."""
    return page.locator(".dtd-head-state .dtd-badge")


def open_task(page: Page, result: object) -> None:
    """Open a task's page."""
    page.goto(f"{ADMIN}/taskrun/{result.id}/change/")  # type: ignore[attr-defined]


def test_the_import_is_watched_in_the_list_and_answered_in_the_inbox(house: House, visitor: Visitor) -> None:
    result = airports.import_airports.enqueue()
    page = visitor.page
    page.goto(f"{ADMIN}/taskrun/")
    bar = page.locator(f"[data-id='{result.id}-progress'] progress")
    house.start_worker("--concurrency", "1")
    expect(bar).to_have_attribute("value", re.compile(r"[1-9]"))
    expect(page.locator(f"[data-id='{result.id}-state']")).to_have_attribute("data-state", "waiting")
    page.locator(".dtd-nav").get_by_role("link", name="Inbox").click()
    letter = page.locator(".dtd-wait")
    expect(letter.locator(".dtd-question")).to_contain_text("doubtful rows")
    letter.get_by_role("button", name="keep the doubtful rows as they are").click()
    expect(page.locator(".messagelist")).to_contain_text("The answer was given")
    open_task(page, result)
    expect(state(page)).to_have_attribute("data-state", "succeeded")
    expect(page.locator(".dtd-band rect").first).to_be_attached()


def test_a_failed_task_is_retried_and_its_attempts_are_told(house: House, visitor: Visitor) -> None:
    result = probe.fails.enqueue("no money")
    house.start_worker()
    page = visitor.page
    open_task(page, result)
    expect(state(page)).to_have_attribute("data-state", "failed")
    page.reload()
    page.get_by_role("button", name="Retry").click()
    expect(page.locator("[data-id='attempt-2']")).to_contain_text("no money")
    expect(page.locator("[data-id='lines']")).to_contain_text("by ada")


def test_a_task_is_forked_from_a_checkpoint(house: House, visitor: Visitor) -> None:
    result = checkout.checkout.enqueue("7", 4200)
    house.start_worker()
    page = visitor.page
    open_task(page, result)
    expect(state(page)).to_have_attribute("data-state", "succeeded")
    page.reload()
    page.locator("[data-id='tree'] summary").nth(1).click()
    page.get_by_role("link", name="Fork from here").click()
    expect(page.get_by_role("heading", name="Fork this task?")).to_be_visible()
    page.get_by_role("button", name="Fork from here").click()
    expect(page).not_to_have_url(re.compile(str(result.id)))
    expect(state(page)).to_have_attribute("data-state", "succeeded")
    expect(page.locator("[data-id='lines']")).to_contain_text(f"Forked from {result.id} by ada")


def test_a_queue_is_paused_and_goes_on(house: House, visitor: Visitor) -> None:
    waiting = probe.elsewhere.using(run_after=None).enqueue()
    page = visitor.page
    page.goto(f"{ADMIN}/taskrun/overview/")
    page.get_by_role("button", name="Pause other").click()
    expect(page.locator("[data-id='queue-other-state']")).to_contain_text("Paused")
    house.start_worker()
    first = probe.echo.enqueue(1)
    open_task(page, first)
    expect(state(page)).to_have_attribute("data-state", "succeeded")
    open_task(page, waiting)
    expect(state(page)).to_have_attribute("data-state", "queued")
    expect(page.locator("[data-why='PAUSED']")).to_contain_text("The queue other is paused, by ada.")
    page.get_by_role("button", name="Unpause other").click()
    expect(page.locator(".messagelist")).to_contain_text("The queue other goes on.")
    expect(state(page)).to_have_attribute("data-state", "succeeded")


def test_what_somebody_writes_survives_what_the_page_is_told(house: House, visitor: Visitor) -> None:
    result = probe.asks.enqueue()
    house.start_worker()
    page = visitor.page
    open_task(page, result)
    answer = page.locator("textarea.dtd-answer")
    expect(answer).to_be_visible()
    answer.fill('"half an ans')
    answer.press("ArrowLeft")
    page.locator("[data-id='payload-Arguments'], [data-id='facts']").first.wait_for()
    with page.expect_response(re.compile("/panel/")):
        pass
    expect(answer).to_be_focused()
    assert answer.input_value() == '"half an ans'
    assert answer.evaluate("(field) => field.selectionStart") == len('"half an ans') - 1
    answer.fill('"a whole answer"')
    page.get_by_role("button", name="Answer").last.click()
    expect(state(page)).to_have_attribute("data-state", "succeeded")


def test_the_switch_stops_looking(house: House, visitor: Visitor) -> None:
    result = probe.echo.enqueue(1)
    page = visitor.page
    open_task(page, result)
    switch = page.locator("[data-dtd-pause]")
    switch.click()
    expect(switch).to_have_attribute("aria-pressed", "true")
    house.start_worker()
    done = visitor.open_page()
    done.goto(f"{ADMIN}/taskrun/?state=succeeded")
    open_task(done, result)
    expect(state(page)).to_have_attribute("data-state", "queued")
    switch.click()
    expect(state(page)).to_have_attribute("data-state", "succeeded")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_keeps_anybody_from_using_the_pages(
    house: House, visit: Callable[..., Visitor], scheme: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    try:
        script = axe.source(tmp_path_factory.getbasetemp().parent)
    except axe.Absent as missing:
        pytest.skip(str(missing))
    failed, asking, workflow = probe.fails.enqueue("no"), probe.asks.enqueue(), IntervalPayment.task.enqueue()
    house.start_worker()
    visitor = visit(color_scheme=scheme)
    page = visitor.page
    open_task(page, asking)
    expect(state(page)).to_have_attribute("data-state", "waiting")
    pages = ["taskrun/overview/", "taskrun/", "taskrun/inbox/", "queue/", "worker/", "schedule/"]
    pages += [f"taskrun/{result.id}/change/" for result in (failed, asking, workflow)]
    pages += [f"taskrun/{failed.id}/act/copy/", f"taskrun/{asking.id}/act/cancel/"]
    found = []
    for address in pages:
        page.goto(f"{ADMIN}/{address}")
        found += [f"{address}: {words}" for words in axe.violations(page, script) if "dtd" in words or ADMIN in words]
    # Of the policy it says nothing here: axe itself tries styles that are inline.
    assert found == []
