"""How a page follows a task when the way is not straight: what is blocked, refused, switched off or looked away from."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from django_tasks_durable.models import Step, TaskRun
from example_project.airports import source, tasks
from tests.browser.house import House
from tests.browser.visitor import Visitor
from tests.probe import tasks as probe

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
AIRPORTS = f"{len(source.read().rows):,}"
STREAM, SOCKET = re.compile(r"/api/tasks/stream/"), re.compile(r"/ws/tasks/")


@pytest.fixture
def address() -> str:
    """Enqueue an import and name its page."""
    return f"/airports/{tasks.import_airports.enqueue().id}/"


def follows_to_its_question(house: House, page: Page) -> None:
    """See a page move."""
    expect(page.locator("task-progress .state")).to_have_text("Queued")
    house.start_worker("--concurrency", "1")
    expect(page.locator("task-progress .ask")).to_contain_text("doubtful rows")
    expect(page.locator("#log li b").first).to_have_text("waiting")
    expect(page.locator("#airports")).to_have_text(AIRPORTS)


def test_where_no_socket_gets_through_events_do(house: House, visit: Callable[..., Visitor], address: str) -> None:
    visitor = visit()
    visitor.context.route_web_socket(SOCKET, lambda socket: socket.close(code=1011))
    visitor.page.goto(address)
    expect(visitor.page.locator("#connection")).to_have_text("Live, by events")
    follows_to_its_question(house, visitor.page)
    assert visitor.complaints == []


def test_where_nothing_stays_open_the_page_asks(house: House, visit: Callable[..., Visitor], address: str) -> None:
    visitor = visit()
    visitor.context.route_web_socket(SOCKET, lambda socket: socket.close(code=1011))
    visitor.context.route(STREAM, lambda route: route.abort())
    visitor.page.goto(address)
    expect(visitor.page.locator("#connection")).to_have_text("Live, by polling")
    follows_to_its_question(house, visitor.page)
    assert visitor.complaints == []


def test_a_page_without_scripts_is_whole_and_takes_the_answer(
    house: House, visit: Callable[..., Visitor], address: str
) -> None:
    visitor = visit(java_script_enabled=False)
    visitor.page.goto(address)
    expect(visitor.page.locator("task-progress")).to_contain_text("Queued")
    house.start_worker("--concurrency", "1")
    button = visitor.page.get_by_role("button", name="keep the doubtful rows as they are")
    reload_until(visitor.page, lambda: button.is_visible())
    button.click()
    reload_until(visitor.page, lambda: "Succeeded" in visitor.page.locator("task-progress").inner_text())
    assert visitor.refusals == []


def reload_until(page: Page, condition: Callable[[], bool]) -> None:
    """Reload as an impatient person does."""
    for _ in range(300):
        page.reload()
        if condition():
            return
        page.wait_for_timeout(200)
    raise AssertionError("reloaded in vain")


def test_a_list_of_bars_opens_one_socket(house: House, visit: Callable[..., Visitor]) -> None:
    for _ in range(5):
        tasks.import_airports.enqueue()
    visitor = visit()
    sockets: list[str] = []
    visitor.page.on("websocket", lambda socket: sockets.append(socket.url))
    visitor.page.goto("/airports/")
    for state in visitor.page.locator("task-progress .state").all():
        expect(state).to_have_text("Queued")
    assert visitor.page.locator("task-progress").count() == 5
    house.start_worker("--concurrency", "1")
    expect(visitor.page.locator("task-progress .state", has_text=re.compile("Running|Waiting")).first).to_be_visible()
    assert len(sockets) == 1
    assert visitor.complaints == []


def test_somebody_who_logged_out_elsewhere_is_told(house: House, visit: Callable[..., Visitor], address: str) -> None:
    visitor = visit()
    visitor.page.goto(address)
    expect(visitor.page.locator("#connection")).to_contain_text("Live")
    visitor.context.clear_cookies()
    house.close_site()
    house.open_site()
    expect(visitor.page.locator("#connection")).to_have_text("Log in to follow this import.")
    expect(visitor.page.locator("task-progress .notice")).to_have_text("Log in to follow this task.")


def asked_on(page: Page, house: House, task_id: str) -> Locator:
    """Let the bar of a page follow another task, and see its questions."""
    page.locator("task-progress").evaluate("(bar, id) => bar.setAttribute('task', id)", task_id)
    house.start_worker("--concurrency", "1")
    questions = page.locator("task-progress form.question")
    expect(questions.first).to_be_visible()
    return questions


def test_a_form_is_filled_in_beside_the_bar(house: House, visit: Callable[..., Visitor], address: str) -> None:
    visitor = visit()
    visitor.page.goto(address)
    TaskRun.objects.all().delete()  # only the other one is to run
    result = probe.asks_in_form.enqueue()
    form = asked_on(visitor.page, house, result.id)
    expect(form).to_have_accessible_name("What shall it be?")
    expect(visitor.page.locator("task-progress .questions > [aria-live=polite]")).to_have_text("What shall it be?")
    # Nobody sees what a page cannot draw, and what is given already is filled in.
    assert form.get_by_label("Paper").count() == 0
    expect(form.get_by_role("checkbox", name="Is urgent")).to_be_checked()
    expect(form.get_by_role("checkbox", name="Is urgent")).to_have_accessible_description("Wakes somebody.")
    expect(form.get_by_role("combobox", name="Size")).to_have_value("m")
    count = form.get_by_role("spinbutton", name="Count")
    count.fill("0")
    form.get_by_role("textbox", name="Note").fill("first line\nsecond line")
    form.get_by_role("button", name="Send").click()
    expect(count).to_have_accessible_description(re.compile("greater than or equal to 1"))
    expect(count).to_have_attribute("aria-invalid", "true")
    expect(count).to_be_focused()
    count.fill("2")
    form.get_by_role("combobox", name="Size").select_option("Small")
    form.get_by_role("listbox", name="Colours").select_option(["Red", "Blue"])
    count.press("Enter")
    expect(visitor.page.locator("task-progress .state")).to_have_text("Succeeded")
    expect(form).to_have_count(0)
    said = probe.asks_in_form.get_result(result.id).return_value
    assert (said["note"].splitlines(), said["count"], said["is_urgent"]) == (["first line", "second line"], 2, True)
    assert (said["size"], said["colours"]) == ("s", ["red", "blue"])
    assert visitor.complaints == []


def test_every_question_is_answered_and_what_was_begun_stays(
    house: House, visit: Callable[..., Visitor], address: str
) -> None:
    visitor = visit()
    visitor.page.goto(address)
    TaskRun.objects.all().delete()
    result = probe.asks_twice.enqueue()
    questions = asked_on(visitor.page, house, result.id)
    expect(questions).to_have_count(2)
    left, right = (questions.nth(number).get_by_role("textbox", name="Answer") for number in (0, 1))
    right.fill("to the r")
    left.fill("to the left")
    left.press("Enter")
    expect(questions).to_have_count(1)
    rest = questions.first.get_by_role("textbox", name="Answer")
    expect(rest).to_have_value("to the r")
    rest.fill("to the right")
    questions.first.get_by_role("button", name="Send").click()
    expect(visitor.page.locator("task-progress .state")).to_have_text("Succeeded")
    assert probe.asks_twice.get_result(result.id).return_value == {"left": "to the left", "right": "to the right"}
    assert visitor.complaints == []


def test_a_page_is_readable_in_the_dark(
    house: House, visit: Callable[..., Visitor], address: str, picture: Callable[..., Path]
) -> None:
    visitor = visit(color_scheme="dark")
    visitor.page.goto(address)
    follows_to_its_question(house, visitor.page)
    picture(visitor.page, "import-page-dark")
    assert visitor.complaints == []


def test_hostile_words_are_words(house: House, visit: Callable[..., Visitor], address: str) -> None:
    hostile = '<img src=x onerror="complain(1)"><script>complain(2)</script>\u202egnp.exe'
    TaskRun.objects.update(progress_label=hostile, progress_percent=12.5)
    Step.objects.update(message=hostile)
    visitor = visit()
    visitor.page.goto(address)
    expect(visitor.page.locator("task-progress .label")).to_have_text(hostile)
    expect(visitor.page.locator("#log li span").first).to_have_text(hostile)
    assert visitor.page.locator("img").count() == 0
    assert visitor.complaints == []


def test_somebody_who_hears_the_page_is_told_what_others_see(
    house: House, visit: Callable[..., Visitor], address: str
) -> None:
    visitor = visit()
    visitor.page.goto(address)
    bar = visitor.page.get_by_role("progressbar", name="Import")
    expect(bar).to_have_attribute("aria-valuetext", "Queued")
    house.start_worker("--concurrency", "1")
    expect(bar).to_have_attribute("aria-valuetext", re.compile(r"^Waiting, 85 %, Waiting for a decision"))
    said = visitor.page.locator("task-progress .box > [aria-live=polite]")
    expect(said).to_have_text(re.compile(r"^Waiting, 85 %"))
    # The answer is given by the keyboard alone.
    expect(visitor.page.locator("task-progress .ask")).to_be_visible()
    button = visitor.page.get_by_role("button", name="keep the doubtful rows as they are")
    button.focus()
    visitor.page.keyboard.press("Enter")
    expect(bar).to_have_attribute("aria-valuetext", re.compile(r"^Succeeded, 100 %"))
    expect(said).to_have_text(re.compile(r"^Succeeded"))
    assert visitor.complaints == []
