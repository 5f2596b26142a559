"""What the journeys share: the browser, the house on this test's database, visitors, pictures."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser import chromium
from tests.browser.house import PATIENCE, House
from tests.browser.visitor import IMAGES, Visitor

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# `python -m tests` says aloud that the journeys are left out then.
collect_ignore_glob = [] if find_spec("playwright") else ["test_*.py"]
TOLD = pytest.StashKey[dict[str, Callable[[], str]]]()
REDIS_URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/9")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell beside a failure what the site, the workers and the visitors' browsers said."""
    report = yield
    if report.failed:
        report.sections += [(name, story()) for name, story in item.stash.get(TOLD, {}).items()]
    return report


@pytest.fixture(scope="session")
def browser(pytestconfig: pytest.Config) -> Iterator[Browser]:
    """Give the one browser of the session."""
    from playwright.sync_api import expect

    # The machine may be busy: what matters is that it moves, and PATIENCE says when it does not.
    expect.set_options(timeout=PATIENCE * 1000)
    # Playwright's loop stays on this thread, where Django would then refuse to speak to the database.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    with chromium.started(headed=pytestconfig.getoption("--headed")) as browser:
        yield browser
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def redis_url() -> str:
    """Name the Redis that the site and its workers tell each other news by; none unless a test says otherwise."""
    return ""


@pytest.fixture
def house(
    child_environment: dict[str, str], tmp_path: Path, redis_url: str, request: pytest.FixtureRequest
) -> Iterator[House]:
    """Give a site that is up; start workers with ``start_worker()``."""
    house = House(child_environment, tmp_path, redis_url=redis_url)
    try:
        request.node.stash.setdefault(TOLD, {})["house"] = house.story
        house.open_site()
        yield house
    finally:
        house.close()


@pytest.fixture
def visit(browser: Browser, house: House, request: pytest.FixtureRequest) -> Iterator[Callable[..., Visitor]]:
    """Let somebody come to the site: ``visit()`` is logged in as a superuser, ``visit(user=None)`` is nobody."""
    visitors: list[Visitor] = []

    def come(*, user: Any = True, **window: Any) -> Visitor:
        visitor = Visitor(browser, house.url, **window)
        visitors.append(visitor)
        request.node.stash[TOLD][f"visitor {len(visitors)}"] = visitor.story
        if user is not None:
            visitor.log_in(None if user is True else user)
        return visitor

    yield come
    for visitor in visitors:
        visitor.context.close()


@pytest.fixture
def picture(pytestconfig: pytest.Config, tmp_path: Path) -> Callable[..., Path]:
    """Take a picture of a page: into docs/images with --pictures, else into the test's own folder."""

    def take(page: Page, name: str, **how: Any) -> Path:
        folder = IMAGES if pytestconfig.getoption("--pictures") else tmp_path
        folder.mkdir(exist_ok=True)
        path = folder / f"{name}.png"
        page.screenshot(path=path, animations="disabled", caret="hide", **how)
        return path

    return take
