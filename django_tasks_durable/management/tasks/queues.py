"""Subcommands for queues: queues, pause, unpause, limit."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Sequence

from django.core.management.base import CommandError

from django_tasks_durable.management import table
from django_tasks_durable.management.tasks.subcommands import Options, Subcommand
from django_tasks_durable.management.tasks.terminal import Terminal, somebody
from django_tasks_durable.snapshots import queues as read
from django_tasks_durable.snapshots.text import duration, one_line
from django_tasks_durable.store import queues

HEADINGS = ("QUEUE", "STATE", "DUE", "OLDEST DUE", "RUNNING", "LIMITS")
NONE = "none"


def _takes_names(parser: ArgumentParser) -> None:
    parser.add_argument("names", metavar="QUEUE", nargs="+", help="The name of a queue.")


def _list(terminal: Terminal, options: Options) -> None:
    _tell(terminal, read.queues(using=terminal.using))


def _pause(terminal: Terminal, options: Options) -> None:
    queues.pause(options["names"], using=terminal.using, by=somebody())
    _tell_of(terminal, options["names"])


def _unpause(terminal: Terminal, options: Options) -> None:
    queues.unpause(options["names"], using=terminal.using, by=somebody())
    _tell_of(terminal, options["names"])


def _takes_limits(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="QUEUE", help="The name of a queue.")
    parser.add_argument(
        "--concurrency", metavar="N", type=_count, help=f"How many run at a time; {NONE} for any number."
    )
    parser.add_argument("--rate", metavar="N/PERIOD", help=f"How often one starts, such as 10/minute; {NONE} for any.")
    parser.add_argument("--reset", action="store_true", help="Go back to what the settings say.")


def _count(text: str) -> int | str:
    if text == NONE:
        return text
    try:
        return int(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is neither a whole number nor {NONE!r}") from None


def _limit(terminal: Terminal, options: Options) -> None:
    given = {name: options[name] for name in ("concurrency", "rate") if options[name] is not None}
    if bool(given) == options["reset"]:
        raise CommandError("Give --concurrency, --rate or both, or else --reset.")
    if options["reset"]:
        queues.unlimit(options["name"], using=terminal.using, by=somebody())
    else:
        changes = {name: None if value == NONE else value for name, value in given.items()}
        queues.limit(options["name"], using=terminal.using, by=somebody(), **changes)
    _tell_of(terminal, [options["name"]])


def _tell_of(terminal: Terminal, names: Sequence[str]) -> None:
    _tell(terminal, [read.queue(name, using=terminal.using) for name in names])


def _tell(terminal: Terminal, found: Sequence[read.QueueSnapshot]) -> None:
    if terminal.as_json:
        terminal.json([queue.as_dict() for queue in found])
        return
    for line in table.aligned([HEADINGS, *map(_row, found)]) if found else ["There are none."]:
        terminal.line(line)


def _row(queue: read.QueueSnapshot) -> tuple[str, ...]:
    oldest = "-" if queue.oldest_due_seconds is None else duration(queue.oldest_due_seconds)
    running = str(queue.running)
    return (one_line(queue.queue_name), one_line(_state(queue)), str(queue.due), oldest, running, _limits(queue))


def _limits(queue: read.QueueSnapshot) -> str:
    told = [f"{queue.concurrency} at a time"] if queue.concurrency is not None else []
    told += [queue.rate] if queue.rate is not None else []
    return ", ".join(told) or "-"


def _state(queue: read.QueueSnapshot) -> str:
    if not queue.is_paused:
        return "on"
    return f"paused by {queue.paused_by}" if queue.paused_by else "paused"


SUBCOMMANDS = (
    Subcommand("queues", "List queues with what holds them back.", lambda parser: None, _list),
    Subcommand("pause", "Let workers take nothing more of queues; what runs goes on.", _takes_names, _pause),
    Subcommand("limit", "Change how much of a queue runs at a time, and how often.", _takes_limits, _limit),
    Subcommand("unpause", "Let workers take runs of paused queues again.", _takes_names, _unpause),
)
