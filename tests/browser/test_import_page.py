"""The page of an import, with a worker in another process: it moves by itself, and is right again after everything."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from example_project.airports import source
from tests import servers
from tests.browser.conftest import REDIS_URL
from tests.browser.house import House
from tests.browser.visitor import Visitor

pytestmark = pytest.mark.timeout(900)
AIRPORTS = f"{len(source.read().rows):,}"
LIVE = re.compile(r"^\s*Live\s*$")
MOVING = re.compile(r"^Chunk \d+ of \d+$")


@pytest.fixture(params=["", pytest.param(REDIS_URL, marks=pytest.mark.slow)], ids=["without Redis", "with Redis"])
def redis_url(request: pytest.FixtureRequest) -> str:
    """Let the journeys be made without a channel layer and with one."""
    if request.param and not servers.redis_answers():
        pytest.skip("no Redis answers")
    return str(request.param)


def start_import(page: Page) -> None:
    """Press the button."""
    page.goto("/airports/")
    page.get_by_role("button", name="Import the airports").click()
    page.wait_for_url(re.compile(r"/airports/[0-9a-f-]{36}/$"))


def marked(page: Page) -> None:
    """Leave a mark that a reload would wipe out."""
    page.evaluate("window.wasNeverReloaded = true")


def was_never_reloaded(page: Page) -> bool:
    """Tell whether the mark is still there."""
    return bool(page.evaluate("window.wasNeverReloaded === true"))


def test_two_people_watch_an_import_and_one_answers(
    house: House, visit: Callable[..., Visitor], picture: Callable[..., Path]
) -> None:
    one, other = visit(), visit()
    start_import(one.page)
    marked(one.page)
    other.page.goto(one.page.url)
    marked(other.page)
    for page in (one.page, other.page):
        expect(page.locator("task-progress .state")).to_have_text("Queued")
        expect(page.locator("#connection")).to_have_text(LIVE)
    house.start_worker("--concurrency", "1")
    for page in (one.page, other.page):
        expect(page.locator("task-progress .label")).to_have_text(MOVING)
        expect(page.locator("task-progress [role=progressbar]")).to_have_attribute(
            "aria-valuenow", re.compile(r"^\d+$")
        )
        expect(page.locator("#countries li[data-country=DE]")).to_be_visible()
        expect(page.locator("#log li")).not_to_have_count(0)
    for page in (one.page, other.page):
        expect(page.locator("task-progress .ask")).to_contain_text("doubtful rows")
        expect(page.locator("#reasons li")).to_have_count(3)
    picture(one.page, "import-page")
    one.page.locator("task-progress .choice", has_text="beside them").click()
    for page in (one.page, other.page):
        expect(page.locator("task-progress .state")).to_have_text("Succeeded")
        expect(page.locator("task-progress .question")).to_be_hidden()
        expect(page.locator("#airports")).to_have_text(AIRPORTS)
        expect(page.get_by_role("link", name="Read the report")).to_be_visible()
        assert was_never_reloaded(page)
    assert one.complaints == []
    assert other.complaints == []


@pytest.mark.slow
def test_a_site_that_was_restarted_finds_its_pages_again(house: House, visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    start_import(visitor.page)
    marked(visitor.page)
    house.start_worker("--concurrency", "1")
    expect(visitor.page.locator("task-progress .label")).to_have_text(MOVING)
    house.close_site()
    expect(visitor.page.locator("#connection")).to_contain_text("lost")
    expect(visitor.page.locator("task-progress .notice")).to_contain_text("lost")
    house.open_site()
    expect(visitor.page.locator("#connection")).to_have_text(LIVE)
    expect(visitor.page.locator("task-progress .notice")).to_be_hidden()
    expect(visitor.page.locator("task-progress .ask")).to_contain_text("doubtful rows")
    # What was missed is there, in its order, each line once.
    expect(visitor.page.locator("#log li b").first).to_have_text("waiting")
    told = visitor.page.locator("#log li span").all_inner_texts()
    assert len(set(told)) == len(told)
    assert was_never_reloaded(visitor.page)
    assert visitor.complaints == []


@pytest.mark.slow
def test_a_page_is_right_whenever_it_is_loaded(house: House, visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    start_import(visitor.page)
    house.start_worker("--concurrency", "1")
    expect(visitor.page.locator("task-progress .label")).to_have_text(MOVING)
    before = percent(visitor.page)
    visitor.page.reload()
    expect(visitor.page.locator("task-progress .label")).not_to_have_text("")
    assert percent(visitor.page) >= before
    expect(visitor.page.locator("task-progress .ask")).to_contain_text("doubtful rows")
    visitor.page.reload()
    expect(visitor.page.locator("task-progress .ask")).to_contain_text("doubtful rows")
    expect(visitor.page.locator("#reasons li")).to_have_count(3)
    expect(visitor.page.locator("#airports")).to_have_text(AIRPORTS)
    visitor.page.locator("task-progress .choice", has_text="drop").click()
    expect(visitor.page.locator("task-progress .state")).to_have_text("Succeeded")
    shown = [visitor.page.locator("#airports").inner_text(), visitor.page.locator("#number").inner_text()]
    visitor.page.reload()
    expect(visitor.page.locator("task-progress .state")).to_have_text("Succeeded")
    assert [visitor.page.locator("#airports").inner_text(), visitor.page.locator("#number").inner_text()] == shown
    assert int(shown[0].replace(",", "")) < int(AIRPORTS.replace(",", ""))
    assert visitor.complaints == []


def percent(page: Page) -> int:
    """Read the bar as somebody does who hears the page."""
    return int(page.locator("task-progress [role=progressbar]").get_attribute("aria-valuenow") or 0)
