"""What the source of a step says about its keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from django_tasks_durable import Workflow, command, query, transition
from django_tasks_durable.authoring.sources import key_used_twice, keys_of
from django_tasks_durable.exceptions import InvalidWorkflow


class Bodies:
    """Bodies of steps, as people write them."""

    def one_after_the_other(self: Any) -> None:
        self.step("a", int)
        self.step("a", str)

    def through_the_context(self: Any) -> None:
        self.step("a", int)
        self.context.step("a", str)

    def in_an_if_that_goes_on(self: Any) -> None:
        if self.state:
            self.step("a", int)
        self.step("a", str)

    def in_a_try_and_its_handler(self: Any) -> None:
        try:
            self.step("a", int)
        except ValueError:
            self.step("a", str)

    def in_a_loop_and_behind_it(self: Any) -> None:
        for _ in range(3):
            self.step("a", int)
        self.step("a", str)

    async def awaited(self: Any) -> None:
        await self.astep("a", int)
        await self.astep("a", str)

    def of_the_same_question(self: Any) -> None:
        self.interrupt("Really?", key="sure")
        self.interrupt("Really, really?", key="sure")

    def on_the_ways_of_an_if(self: Any) -> None:
        if self.state:
            self.step("a", int)
        else:
            self.step("a", str)

    def in_an_if_that_leaves(self: Any) -> str | None:
        if self.state:
            self.step("a", int)
            return "next"
        self.step("a", str)
        return None

    def in_cases(self: Any) -> None:
        match self.state:
            case 1:
                self.step("a", int)
            case _:
                self.step("a", str)

    def in_handlers(self: Any) -> None:
        try:
            pass
        except ValueError:
            self.step("a", int)
        except KeyError:
            self.step("a", str)

    def of_other_kinds(self: Any) -> None:
        self.step("a", int)
        self.sleep("a", hours=1)
        self.wait("a")

    def of_a_box_that_is_emptied(self: Any) -> None:
        self.recv("a")
        self.recv("a")

    def made_from_what_differs(self: Any) -> None:
        for number in range(3):
            self.step(f"a {number}", int)
            self.step(f"a {number}", str)

    def without_keys(self: Any) -> None:
        self.interrupt("one?")
        self.interrupt("two?")

    def of_somebody_else(self: Any, other: Any = None) -> None:
        self.step("a", int)
        other.step("a", int)


TWICE = [
    Bodies.one_after_the_other, Bodies.through_the_context, Bodies.in_an_if_that_goes_on, Bodies.in_a_try_and_its_handler,
    Bodies.in_a_loop_and_behind_it, Bodies.awaited, Bodies.of_the_same_question,
]  # fmt: skip
ONCE = [
    Bodies.on_the_ways_of_an_if, Bodies.in_an_if_that_leaves, Bodies.in_cases, Bodies.in_handlers, Bodies.of_other_kinds,
    Bodies.of_a_box_that_is_emptied, Bodies.made_from_what_differs, Bodies.without_keys, Bodies.of_somebody_else,
]  # fmt: skip


@pytest.mark.parametrize("body", TWICE, ids=lambda body: body.__name__)
def test_a_key_that_one_visit_may_use_twice_is_found(body: Callable[..., Any]) -> None:
    found = key_used_twice(body)
    assert found is not None
    assert found[0] in {"a", "sure"}
    assert found[1] > 1


@pytest.mark.parametrize("body", ONCE, ids=lambda body: body.__name__)
def test_a_key_that_one_visit_uses_once_is_not(body: Callable[..., Any]) -> None:
    assert key_used_twice(body) is None


def test_words_that_wait_for_others_have_keys_too() -> None:
    def body(self: Any) -> None:
        self.approval("release", "?")
        self.poll("ticket", int, every=5)
        self.webhook("paid")
        self.recv("news")

    assert [(key["kind"], key["key"]) for key in keys_of(body)] == [
        ("approval", "release"),
        ("poll", "ticket"),
        ("webhook", "paid"),
        ("recv", "news"),
    ]


def test_a_class_with_such_a_key_is_refused_when_it_is_made() -> None:
    def begin(self: Any) -> None:
        """Send two mails."""
        self.step("mail", print, "one")
        self.step("mail", print, "two")

    @dataclass
    class State:
        """Nothing."""

    namespace = {
        "__module__": __name__,
        "__qualname__": "Mails",
        "State": State,
        "begin": transition(start=True)(begin),
    }
    with pytest.raises(InvalidWorkflow, match=r"Mails: the step 'begin' uses the key 'mail' again, in line \d{3}:"):
        type("Mails", (Workflow,), namespace)


@pytest.mark.parametrize("outer", [command, query, transition(start=True)])
@pytest.mark.parametrize("inner", [command, query, transition()])
def test_a_method_is_marked_once(outer: Any, inner: Any) -> None:
    def both(self: Any) -> None:
        """Be two things."""

    with pytest.raises(TypeError, match=r"both\(\) is marked twice"):
        outer(inner(both))
