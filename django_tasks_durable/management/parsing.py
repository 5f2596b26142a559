"""A command line that answers a misspelt word with the right one, and a forgotten `migrate` with its name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError

from django_tasks_durable.conf import get_options
from django_tasks_durable.snapshots.text import plain
from django_tasks_durable.store.vendors import fitness


class SuggestingParser(CommandParser):
    """A parser that names the option or subcommand that was probably meant."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Refuse what is unknown here, where the options of this subcommand are known."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}{self._suggestion(unknown)}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """Add to a complaint about a word which one is close to it."""
        wrong = re.search(r"invalid choice: '(.*?)'", message)
        words = [str(choice) for action in self._actions for choice in action.choices or ()]
        close = get_close_matches(wrong[1], words, 1) if wrong else []
        super().error(plain(f"{message}. Did you mean {close[0]!r}?" if close else message))
        raise AssertionError("unreachable")

    def _suggestion(self, unknown: Sequence[str]) -> str:
        known = [option for action in self._actions for option in action.option_strings]
        close = [
            match
            for word in unknown
            if word.startswith("-")
            for match in get_close_matches(word.split("=")[0], known, 1)
        ]
        return f". Did you mean {', '.join(close)}?" if close else ""


def expect_tables(alias: str) -> None:
    """Raise CommandError where the tables are not made yet. A database that does not answer is not judged."""
    database = get_options(alias).database
    try:
        is_ready = fitness.has_tables(database)
    except DatabaseError:
        return
    if not is_ready:
        missing = fitness.missing_tables()
        raise CommandError(f"The database {database!r} of TASKS[{alias!r}]: {missing.message} {missing.hint}")
