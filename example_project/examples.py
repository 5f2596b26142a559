"""What the smaller examples share: a name, a story that checks itself, and a stage to tell it on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any

# Each of these modules has a list EXAMPLES.
MODULES = (
    "example_project.chat.examples",
    "example_project.checkout.examples",
    "example_project.payment.examples",
    "example_project.pipeline.examples",
    "example_project.reports.examples",
    "example_project.onboarding.examples",
)


class ExampleFailed(Exception):
    """An example cannot be played, or did not come to the result that it should."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where an example is told, and where its files go.

    ``script`` is what the audience says, if that was written down; ``ask`` asks it, where there is a terminal.
    """

    say: Callable[[str], None]
    directory: Path
    script: str | None = None
    ask: Callable[[str], str] | None = None

    def expect(self, what: str, found: Any, wanted: Any) -> None:
        """Say that a figure is right. Raise ExampleFailed when it is not."""
        if found != wanted:
            raise ExampleFailed(f"{what}: {found!r}, and it should be {wanted!r}")
        self.say(f"  ok    {what}: {found}")


@dataclass(frozen=True, slots=True)
class Example:
    """A story by its name; ``play`` tells it on a stage and returns its figures."""

    name: str
    title: str
    play: Callable[[Stage], Mapping[str, Any]]
    takes_script: bool = False


def all_examples() -> dict[str, Example]:
    """Return every example by its name."""
    found = [example for module in MODULES for example in import_module(module).EXAMPLES]
    return {example.name: example for example in found}


def find(name: str) -> Example:
    """Return an example. Raise ExampleFailed, naming the nearest, when there is none of that name."""
    known = all_examples()
    try:
        return known[name]
    except KeyError:
        near = get_close_matches(name, known, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ExampleFailed(f"There is no example {name!r}.{hint} manage.py demo --list names them all.") from None
