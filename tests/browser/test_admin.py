"""The admin as it is: the list, and a run's page that moves."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import expect

from example_project.airports import tasks
from tests.browser.house import House
from tests.browser.visitor import Visitor, log_in_by_form


def test_somebody_logs_in_and_watches_a_run_to_its_question(house: House, visit: Callable[..., Visitor]) -> None:
    result = tasks.import_airports.enqueue()
    visitor = visit(user=None)
    log_in_by_form(visitor.page)
    visitor.page.goto("/admin/durable_tasks/taskrun/")
    row = visitor.page.locator("#result_list tbody tr")
    expect(row).to_have_count(1)
    expect(row.locator(".dtd-badge")).to_have_attribute("data-state", "queued")
    row.get_by_role("link").first.click()
    expect(visitor.page.locator(f"[data-id='{result.id}-state']")).to_have_attribute("data-state", "queued")
    house.start_worker("--concurrency", "1")
    expect(visitor.page.locator(f"[data-id='{result.id}-state']")).to_have_attribute("data-state", "waiting")
    expect(visitor.page.locator(".dtd-question")).to_contain_text("doubtful rows")
    visitor.page.get_by_role("button", name="keep the doubtful rows as they are").click()
    expect(visitor.page.locator(f"[data-id='{result.id}-state']")).to_have_attribute("data-state", "succeeded")
    assert visitor.complaints == []
