"""Somebody at a browser: a window of their own, logged in or not, and all that the browser complained about."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.test import Client

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Response

IMAGES = Path(__file__).resolve().parent.parent.parent / "docs" / "images"
PASSWORD = "for-the-tests-only"
# Told by the browser itself, also of what it blocked silently.
LISTEN = """
addEventListener("securitypolicyviolation", (event) => complain(
  `${event.violatedDirective} blocked ${event.blockedURI || "inline"} at ${event.sourceFile}:${event.lineNumber}`
));
"""


class Visitor:
    """One window. ``page`` is Playwright's; ``complaints`` are the errors and policy violations that it met."""

    def __init__(self, browser: Browser, url: str, **window: Any) -> None:
        self.url = url
        self.complaints: list[str] = []
        self.refusals: list[str] = []
        self.told: list[str] = []
        self.context = browser.new_context(base_url=url, **{"viewport": {"width": 1280, "height": 900}, **window})
        self.context.expose_function("complain", lambda words: self.complaints.append(str(words)))
        self.context.add_init_script(LISTEN)
        self.page = self.open_page()

    def open_page(self) -> Page:
        """Open a tab beside the others, with the same cookies."""
        page = self.context.new_page()
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))
        page.on("response", self._look_at)
        return page

    def log_in(self, user: Any = None) -> Any:
        """Become a user, a superuser if none is given, without going through the form. Return the user."""
        user = user or superuser()
        client = Client()
        client.force_login(user)
        cookie = client.cookies["sessionid"]
        self.context.add_cookies([{"name": "sessionid", "value": cookie.value, "url": self.url, "httpOnly": True}])
        return user

    def story(self) -> str:
        """Tell what the browser said, and what it was refused."""
        return "\n".join([self.page.url, *self.complaints, *self.told, *self.refusals])

    def _hear(self, message: ConsoleMessage) -> None:
        self.told.append(f"{message.type}: {message.text}")
        # A server that is restarted is not there for a while; that is no fault of the page.
        is_of_the_network = "net::ERR_" in message.text or "WebSocket connection to" in message.text
        is_of_an_answer = "Failed to load resource" in message.text
        if message.type == "error" and not is_of_the_network and not is_of_an_answer:
            self.complaints.append(f"console: {message.text}")

    def _look_at(self, response: Response) -> None:
        if response.status >= 400:
            self.refusals.append(f"{response.status} {response.request.method} {response.url}")


def superuser(name: str = "ada") -> Any:
    """Return the superuser of a name, made if need be."""
    users = get_user_model().objects
    return users.filter(username=name).first() or users.create_superuser(name, f"{name}@example.org", PASSWORD)


def log_in_by_form(page: Page, name: str = "ada") -> None:
    """Log in as a person does."""
    superuser(name)
    page.goto("/admin/login/?next=/admin/")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/admin/")
