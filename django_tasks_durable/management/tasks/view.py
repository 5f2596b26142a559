"""The subcommand that keeps looking: what is open, what runs and how far, what has just happened."""

from __future__ import annotations

import json
import shutil
import threading
from argparse import ArgumentParser, ArgumentTypeError
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.core.management.base import CommandError
from django.db import DatabaseError

from django_tasks_durable.management import table
from django_tasks_durable.management.tasks.subcommands import Options, Subcommand, positive
from django_tasks_durable.management.tasks.terminal import Terminal
from django_tasks_durable.primitives.status import State
from django_tasks_durable.snapshots import feed, house, queues, read
from django_tasks_durable.snapshots.entries import Entry
from django_tasks_durable.snapshots.house import Overview
from django_tasks_durable.snapshots.queues import QueueSnapshot
from django_tasks_durable.snapshots.shapes import RunSummary
from django_tasks_durable.snapshots.text import one_line

HELD = (State.RUNNING, State.CLAIMED, State.STALE)
MOST_HELD = 100
KNOWN = 10 * feed.LIMIT


@dataclass(frozen=True)
class Sight:
    """What one look has seen; ``news`` are the entries that no look before it has."""

    overview: Overview
    queues: Sequence[QueueSnapshot]
    held: Sequence[RunSummary]
    news: Sequence[Entry]


class Watcher:
    """Looks again and again, and remembers which entries it has told."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._known: OrderedDict[tuple[str, int | None], None] = OrderedDict()

    def look(self) -> Sight:
        """Look once."""
        using = self._terminal.using
        held = read.in_any_state(read.runs(using=using), HELD)
        return Sight(
            overview=house.overview(using=using),
            queues=queues.queues(using=using),
            held=read.summaries(held[:MOST_HELD]),
            news=list(self._news(feed.newest(using=using, show=self._terminal.veil))),
        )

    def _news(self, entries: Sequence[Entry]) -> Iterator[Entry]:
        for entry in entries:
            key = entry.task_id, entry.sequence
            if key not in self._known:
                self._known[key] = None
                yield entry
        while len(self._known) > KNOWN:
            self._known.popitem(last=False)


def _takes_a_pace(parser: ArgumentParser) -> None:
    parser.add_argument("--interval", type=_seconds, default=1.0, help="Seconds between two looks (default: 1).")
    parser.add_argument(
        "--count", type=positive, metavar="N", help="Leave after so many looks; else watch until Ctrl-C."
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.05 <= seconds <= 3600:
        raise ArgumentTypeError(f"{text!r} is no number of seconds from 0.05 to 3600")
    return seconds


def _watch(terminal: Terminal, options: Options) -> None:
    """Show what is seen as suits whoever reads it: a picture on a terminal, lines elsewhere, JSON for machines."""
    show = Lines(terminal) if terminal.as_json or not terminal.is_live else Picture(terminal)
    watcher, looks = Watcher(terminal), 0
    try:
        with terminal.other_screen(is_wanted=isinstance(show, Picture)):
            while True:
                show.show(watcher.look())
                looks += 1
                if looks == options["count"]:
                    return
                threading.Event().wait(options["interval"])
    except (KeyboardInterrupt, BrokenPipeError):  # the ways out
        return
    except DatabaseError as error:
        raise CommandError(f"The database {terminal.using!r} does not answer: {error}") from error


class Lines:
    """One line for each entry, and one whenever the counts have changed; with --json, one object each."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._counted: object = None

    def show(self, sight: Sight) -> None:
        """Write what is new."""
        for entry in sight.news:
            self._write({"entry": entry.as_dict()}, entry_line(entry))
        counted = [sight.overview.as_dict()["counts"], [(queue.queue_name, queue.due) for queue in sight.queues]]
        if counted != self._counted:
            self._counted = counted
            told = {"overview": sight.overview.as_dict(), "queues": [queue.as_dict() for queue in sight.queues]}
            self._write(told, table.counts_line(sight.overview))

    def _write(self, value: object, text: str) -> None:
        # ensure_ascii: nothing of a foreign text may reach the terminal as a control character.
        self._terminal.line(json.dumps(value, ensure_ascii=True) if self._terminal.as_json else text)


class Picture:
    """A screen that is drawn anew at each look: counts, queues, what is held with its bars, and the last entries."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._last: list[str] = []

    def show(self, sight: Sight) -> None:
        """Draw."""
        size = shutil.get_terminal_size()
        self._last = [*self._last, *map(entry_line, sight.news)][-size.lines :]
        top = [table.counts_line(sight.overview), "", *table.queue_lines(sight.queues), ""]
        room = max(2, size.lines - len(top) - 4)
        held = [held_line(run) for run in sight.held[: room // 2]]
        more = len(sight.held) - len(held)
        events = self._last[-max(1, room - len(held)) :]
        lines = [*top, f"Running{f' ({more} more)' if more else ''}", *held, "", "Last events (Ctrl-C leaves)", *events]
        self._terminal.draw([line[: size.columns - 1] for line in lines[: size.lines - 1]])


def entry_line(entry: Entry) -> str:
    """Write an entry in one line."""
    at = entry.timestamp.isoformat(sep=" ", timespec="seconds")[:19]
    percent = "" if entry.percent is None else f"{entry.percent:.0f} %"
    words = (at, entry.type, entry.task_path.rpartition(".")[2], entry.task_id[-8:], percent, entry.message)
    return "  ".join(one_line(word) for word in words if word)


def held_line(run: RunSummary) -> str:
    """Write a run that a worker holds, with a bar when it says how far it is."""
    why = f" ({run.stale_reason})" if run.stale_reason else ""
    words = (table.bar(run.percent), run.short_id, f"{run.state.value}{why}", run.name, table.progress(run))
    return "  ".join(one_line(word) for word in words)


SUBCOMMANDS = (
    Subcommand(
        "watch", "Keep looking: what is open, what runs and how far, what has just happened.", _takes_a_pace, _watch
    ),
)
