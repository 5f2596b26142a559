"""The example that was made from a flow does what the flow says, in this process and in the database."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from django_tasks_durable.authoring.flow import read_flow
from django_tasks_durable.testing import advance, drain, frozen
from example_project.onboarding import examples
from example_project.onboarding.onboarding import Onboarding

FLOW = Path(examples.__file__).with_name("onboarding.json")


def test_who_completes_the_profile_in_time_gets_no_reminder() -> None:
    assert examples.run_complete() == [examples.WELCOME]


def test_who_does_not_gets_one_reminder_after_three_days() -> None:
    assert examples.run_incomplete() == [examples.WELCOME, examples.REMINDER]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("answer", "mails"), [(True, [examples.WELCOME]), (None, [examples.WELCOME, examples.REMINDER])]
)
def test_both_stories_are_the_same_in_the_database(answer: bool | None, mails: list[str]) -> None:
    with frozen():
        result = Onboarding.enqueue(state={"email": examples.EMAIL})
        drain()
        if answer is None:
            advance(timedelta(days=3, seconds=1))
        else:
            result.refresh()
            result.resume(answer)  # type: ignore[attr-defined]
        drain()
    result.refresh()
    assert result.status == "SUCCESSFUL"
    assert result.return_value.mails == mails


def test_the_graph_of_the_class_is_the_flow() -> None:
    flow = read_flow(FLOW.read_bytes())
    steps = {step["name"]: step["to"] for step in Onboarding.graph()["steps"]}
    assert steps == {
        node.name: [None if target in flow.ends else target for _, target in node.edges()] for node in flow.steps
    }
    assert Onboarding.graph()["start"] == flow.first


def test_the_keys_of_the_steps_are_the_names_of_the_tasks() -> None:
    keys = {key["key"] for step in Onboarding.graph()["steps"] for key in step["keys"]}
    names = {node["name"] for node in json.loads(FLOW.read_text())["nodes"] if node["type"] in ("task", "event")}
    assert keys == names
