"""The terminal that a subcommand writes to, and the words it reads there."""

from __future__ import annotations

import getpass
import json
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError, OutputWrapper
from django.core.management.color import Style

from django_tasks_durable.conf import get_options
from django_tasks_durable.exceptions import DurableError
from django_tasks_durable.snapshots import read
from django_tasks_durable.snapshots.policy import Veil
from django_tasks_durable.snapshots.text import one_line, plain

SHORTEST_ID = 4


class Terminal:
    """Where the answer goes, in words or in JSON, and which database is meant."""

    def __init__(self, out: OutputWrapper, style: Style, *, backend: str, as_json: bool) -> None:
        self._out = out
        self._style = style
        self.backend = backend
        self.as_json = as_json
        self.using = get_options(backend).database

    @property
    def veil(self) -> Veil:
        """What hides the values of secret names."""
        return Veil(sees_payloads=True, keys=tuple(get_options(self.backend).redact_keys))

    def line(self, text: str) -> None:
        """Write a line."""
        self._out.write(text)

    @contextmanager
    def as_long_as_read(self) -> Iterator[None]:
        """Write until whoever reads has left, as `head` does with its last line, and then end without a word."""
        try:
            yield
            self._out.flush()
        except BrokenPipeError:
            # What is still in the buffer would fail once more when the interpreter ends.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._out.fileno())
            os.close(nowhere)

    @property
    def is_live(self) -> bool:
        """Whether somebody looks at a screen that can be drawn on."""
        return self._out.isatty()

    @contextmanager
    def other_screen(self, *, is_wanted: bool) -> Iterator[None]:
        """Draw on a screen beside the one that the person came from, and go back to that however this ends."""
        if not is_wanted:
            yield
            return
        self._raw("\x1b[?1049h\x1b[?25l")
        try:
            yield
        finally:
            self._raw("\x1b[?25h\x1b[?1049l")

    def draw(self, lines: Sequence[str]) -> None:
        """Draw these lines over the last ones, in one write, so that nothing flickers."""
        self._raw("\x1b[H" + "".join(f"{line}\x1b[K\r\n" for line in lines) + "\x1b[J")

    def _raw(self, text: str) -> None:
        self._out.write(text, ending="")
        self._out.flush()

    def section(self, title: str, *, if_any: Sequence[Any] | None = None) -> None:
        """Write the title of a part, unless the part is known to be empty."""
        if if_any is None or if_any:
            self.line("")
            self.line(self._style.MIGRATE_HEADING(title))

    def json(self, value: Any) -> None:
        """Write a value for machines."""
        # ensure_ascii: nothing of a foreign text may reach the terminal as a control character.
        self.line(json.dumps(value, indent=2, ensure_ascii=True))

    def run_id(self, text: str) -> UUID:
        """Find the run that a whole id, or the beginning or end of one, means."""
        wanted = text.replace("-", "")
        if len(wanted) < SHORTEST_ID:
            raise CommandError(
                f"{plain(text)!r} is too short for an id: give at least {SHORTEST_ID} characters of its end."
            )
        found = read.find(text, using=self.using)
        if not found:
            raise CommandError(f"There is no task {plain(text)}.")
        if len(found) > 1:
            some = ", ".join(str(run_id) for run_id in found[:5])
            raise CommandError(f"{plain(text)} may mean {len(found)} tasks: {some}{', …' if len(found) > 5 else ''}.")
        return found[0]

    def each(self, ids: Sequence[str], act: Callable[[UUID], object]) -> None:
        """Act on each named task by itself, say what became of each, and fail if one was refused."""
        told: list[dict[str, Any]] = []
        for text in ids:
            try:
                run_id = self.run_id(text)
                act(run_id)
                state = read.one(run_id, using=self.using).state.value
                told.append({"id": str(run_id), "done": True, "state": state})
            except (DurableError, CommandError) as error:
                told.append({"id": text, "done": False, "why": str(error)})
        if self.as_json:
            self.json(told)
        else:
            for entry in told:
                self.line(f"{one_line(entry['id'])}  {one_line(entry.get('state') or entry['why'])}")
        refused = [entry for entry in told if not entry["done"]]
        if refused:
            raise CommandError(f"{len(refused)} of {len(told)} refused.", returncode=1)


def somebody() -> str:
    """Name the person at this terminal, for the timeline."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        name = "unknown"
    return f"{name}@{socket.gethostname()}"
