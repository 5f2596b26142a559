"""Tasks that the doors know."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from django_tasks_durable import Workflow, command, query, task, transition
from django_tasks_durable.engine.context import DurableContext

from . import forms


@task
def greet(name: str) -> str:
    """Greet somebody."""
    return f"hello {name}"


@task
def refund(context: DurableContext, order: int) -> Any:
    """Ask for an amount."""
    return context.approval(
        "refund", {"question": f"Refund order {order}?"}, permission="auth.change_user", form=forms.RefundForm
    )


@task
def release(context: DurableContext, version: str) -> str:
    """Ask for a yes or a no."""
    return "out" if context.approval("release", f"Release {version}?", timeout=3600, default=False) else "kept"


@task
def by_mail(context: DurableContext, permission: str | None = None, form: str | None = None) -> Any:
    """Hand out the address of an approval, then ask."""
    sent = context.approval_url("go", valid_for=3600)
    context.step("send", str, sent)
    return context.approval(
        "go", {"question": "Go on?", "api_key": "sesame"}, permission=permission, form=form, timeout=7200
    )


@task
def by_hook(context: DurableContext) -> Any:
    """Hand out the address of a webhook, rest, then wait for its call."""
    context.webhook_url("paid", valid_for=3600)
    context.sleep("rest", 60)
    return context.webhook("paid", timeout=600, default="none")


@task
def publish(context: DurableContext, title: str) -> Generator[str, None, dict[str, Any]]:
    """Write, ask, and publish."""
    pages = context.step("write", len, title)
    context.progress(50, "written")
    context.log("All pages are written.", level="success")
    yield f"draft of {title}"
    answer = context.interrupt({"question": "Publish?", "choices": ["yes", "no"]})
    return {"pages": pages, "published": answer == "yes"}


@task(expose=True)
def measure(length: int, unit: str = "m") -> str:
    """Tell a length."""
    return f"{length} {unit}"


@task(expose="auth.change_user")
def promote(name: str) -> str:
    """Promote somebody."""
    return name


class Tab(Workflow):
    """What somebody has to pay, until they do."""

    @dataclass
    class State:
        """The sum."""

        owed: int = 0

    state: State

    @transition(start=True)
    def unpaid(self) -> None:
        """Wait until it is paid."""
        self.interrupt("Paid?")

    @command
    def add(self, amount: int) -> int:
        """Owe more."""
        if amount < 0:
            raise ValueError("nobody owes less than nothing")
        self.state.owed += amount
        return self.state.owed

    @query
    def owes(self, at_least: int = 0) -> bool:
        """Tell whether it is so much."""
        return self.state.owed >= at_least

    @query
    def facts(self) -> object:
        """Tell more than JSON can."""
        return {"owed": self.state.owed, "password": "sesame", "at": self}
