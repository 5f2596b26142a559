"""What a subcommand of ``manage.py tasks`` is, and the options that all have."""

from __future__ import annotations

import json
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django_tasks_durable.management.tasks.terminal import Terminal

Options = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Subcommand:
    """A word after ``manage.py tasks``: what it says of itself, takes and does."""

    name: str
    said: str
    takes: Callable[[ArgumentParser], None]
    does: Callable[[Terminal, Options], None]

    def add_to(self, choices: Any) -> None:
        """Add the subcommand, its options and those of all."""
        parser: ArgumentParser = choices.add_parser(self.name, help=self.said, description=self.said)
        parser.add_argument(
            "--backend", default="default", help="Alias in TASKS whose database is meant (default: default)."
        )
        parser.add_argument("--json", action="store_true", help="Write JSON, for machines.")
        self.takes(parser)


def takes_ids(parser: ArgumentParser) -> None:
    """Take the ids of one or more tasks."""
    parser.add_argument("ids", metavar="ID", nargs="+", help="A task's id, or the end or beginning of it.")


def takes_id(parser: ArgumentParser) -> None:
    """Take the id of one task."""
    parser.add_argument("ids", metavar="ID", nargs=1, help="A task's id, or the end or beginning of it.")


def positive(text: str) -> int:
    """Read a number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def from_json(text: str) -> Any:
    """Read an argument that is JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArgumentTypeError(f"this is not JSON: {error}") from None
