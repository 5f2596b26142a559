"""The options by which a subcommand of ``manage.py tasks`` is told which tasks are meant."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError

from django.db.models import QuerySet

from django_tasks_durable.management.tasks.subcommands import Options, positive
from django_tasks_durable.models import TaskRun
from django_tasks_durable.primitives.status import State
from django_tasks_durable.snapshots import read
from django_tasks_durable.snapshots.narrowing import KEY_COLUMNS

NAMES = ("state", "queue_name", "task", "key", "channel")


def takes_filters(parser: ArgumentParser, *, limit: int = 20) -> None:
    """Take what narrows the tasks."""
    parser.add_argument("--state", choices=State.values, help="Only tasks in this state.")
    parser.add_argument("--queue-name", help="Only tasks of this queue.")
    parser.add_argument("--task", help="Only tasks whose path begins so.")
    parser.add_argument(
        "--key", type=_key, metavar="KIND:KEY", help=f"Only tasks with this key ({', '.join(KEY_COLUMNS)})."
    )
    parser.add_argument(
        "--channel",
        action="append",
        default=[],
        metavar="CHANNEL",
        help="Only tasks in this channel, or in one of these.",
    )
    parser.add_argument("--limit", type=positive, default=limit, help="At most so many (default: %(default)s).")


def _key(text: str) -> tuple[str, str]:
    kind, colon, key = text.partition(":")
    if not colon or not key or kind not in KEY_COLUMNS:
        raise ArgumentTypeError(f"{text!r} is not one of {', '.join(KEY_COLUMNS)}, a colon and a key")
    return kind, key


def is_narrowed(options: Options) -> bool:
    """Tell whether any of them was given."""
    return any(options[name] for name in NAMES)


def chosen(using: str, options: Options) -> QuerySet[TaskRun]:
    """Return the runs that are meant, newest first."""
    queryset = read.runs(using=using)
    if options["state"]:
        queryset = read.in_state(queryset, State(options["state"]))
    if options["queue_name"]:
        queryset = queryset.filter(queue_name=options["queue_name"])
    if options["task"]:
        queryset = queryset.filter(task_path__startswith=options["task"])
    if options["key"]:
        queryset = read.holding(queryset, *options["key"])
    return read.in_any_channel(queryset, options["channel"]) if options["channel"] else queryset
