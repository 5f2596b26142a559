"""A workflow that was made from a JSON flow, played twice: the user is quick, or needs a reminder."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django_tasks_durable import MemoryStore
from django_tasks_durable.testing import advance, frozen
from example_project.examples import Example, Stage

from .onboarding import Onboarding

EMAIL = "ann@example.com"
WELCOME, REMINDER = f"To {EMAIL}: Welcome!", f"To {EMAIL}: Your profile waits for you."


def run_complete(run_id: str = "complete") -> list[str]:
    """Complete the profile in time; return the mails that were sent."""
    store = MemoryStore()
    list(Onboarding.stream({"email": EMAIL}, run_id=run_id, store=store))
    return _mails(Onboarding.resume(run_id, True, store=store))


def run_incomplete(run_id: str = "incomplete") -> list[str]:
    """Let three days pass; return the mails that were sent."""
    store = MemoryStore()
    with frozen():
        list(Onboarding.stream({"email": EMAIL}, run_id=run_id, store=store))
        advance(timedelta(days=3, seconds=1))
        return _mails(Onboarding.stream({"email": EMAIL}, run_id=run_id, store=store))


def _mails(stream: Any) -> list[str]:
    list(stream)
    mails: list[str] = stream.result().mails
    return mails


def onboarding(stage: Stage) -> Mapping[str, Any]:
    """Tell both stories."""
    stage.say(Onboarding.as_mermaid())
    mails = {"complete": run_complete(), "incomplete": run_incomplete()}
    stage.expect("mails to who was quick", mails["complete"], [WELCOME])
    stage.expect("mails to who was not", mails["incomplete"], [WELCOME, REMINDER])
    return {"mails": mails}


EXAMPLES = [Example("onboarding", "a workflow from a JSON flow: welcome, wait three days, remind", onboarding)]
