"""``manage.py tasks schedules``: list, pause, unpause, run, backfill."""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django_tasks_durable.management import table
from django_tasks_durable.management.tasks.subcommands import Options, Subcommand
from django_tasks_durable.management.tasks.terminal import Terminal, somebody
from django_tasks_durable.snapshots import schedules as read
from django_tasks_durable.snapshots.text import one_line
from django_tasks_durable.store import schedules

HEADINGS = ("NAME", "TICKS", "TASK", "STATE", "NEXT", "LAST", "OUTCOME")


def _takes_an_act(parser: ArgumentParser) -> None:
    choices = parser.add_subparsers(dest="act", metavar="ACT", required=True)
    for name, (said, takes, _) in ACTS.items():
        act = choices.add_parser(name, help=said, description=said)
        # Without defaults of their own, which would overwrite what stands before the act.
        act.add_argument("--backend", default=SUPPRESS, help="Alias in TASKS whose database is meant.")
        act.add_argument("--json", action="store_true", default=SUPPRESS, help="Write JSON, for machines.")
        takes(act)


def _act(terminal: Terminal, options: Options) -> None:
    ACTS[options["act"]][2](terminal, options)


def _takes_nothing(parser: ArgumentParser) -> None:
    """Take no more than all do."""


def _takes_a_name(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="The schedule's name, as the list shows it.")


def _takes_a_range(parser: ArgumentParser) -> None:
    _takes_a_name(parser)
    parser.add_argument("--from", dest="start", type=_instant, required=True, help="The first instant, ISO 8601.")
    parser.add_argument(
        "--to", dest="end", type=_instant, required=True, help="The last instant; past now counts as now."
    )


def _instant(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no instant such as 2026-03-29T06:00 or 2026-03-29T06:00+02:00") from None


def _list(terminal: Terminal, options: Options) -> None:
    found = read.many(read.schedules(using=terminal.using), using=terminal.using)
    if terminal.as_json:
        terminal.json([schedule.as_dict(show=terminal.veil) for schedule in found])
        return
    for line in table.aligned([HEADINGS, *map(_row, found)]):
        terminal.line(line)
    if not found:
        terminal.line("There are none.")


def _row(schedule: read.ScheduleSnapshot) -> tuple[str, ...]:
    row = schedule.row
    last = schedule.last_run.state.value if schedule.last_run else schedule.last_outcome
    cells = (
        schedule.name,
        schedule.words,
        schedule.task_path,
        _state(schedule),
        _at(row.next_at),
        _at(row.last_at),
        last,
    )
    return tuple(one_line(cell) for cell in cells)


def _state(schedule: read.ScheduleSnapshot) -> str:
    if schedule.row.paused:
        return "paused"
    if schedule.is_broken:
        return "broken"
    return "vanished" if schedule.row.vanished_at else "on"


def _at(instant: datetime | None) -> str:
    return "" if instant is None else instant.isoformat(sep=" ", timespec="seconds")


def _pause(terminal: Terminal, options: Options) -> None:
    schedules.pause(options["name"], using=terminal.using, by=somebody())
    _tell(terminal, options["name"])


def _unpause(terminal: Terminal, options: Options) -> None:
    schedules.unpause(options["name"], using=terminal.using, by=somebody())
    _tell(terminal, options["name"])


def _tell(terminal: Terminal, name: str) -> None:
    (schedule,) = read.many(read.schedules(using=terminal.using).filter(name=name), using=terminal.using)
    if terminal.as_json:
        terminal.json(schedule.as_dict(show=terminal.veil))
    else:
        terminal.line(f"{one_line(name)}  {_state(schedule)}  {_at(schedule.row.next_at)}".rstrip())


def _run(terminal: Terminal, options: Options) -> None:
    run_id = schedules.run_now(options["name"], using=terminal.using, by=somebody())
    if terminal.as_json:
        terminal.json({"id": str(run_id)})
    else:
        terminal.line(str(run_id))


def _backfill(terminal: Terminal, options: Options) -> None:
    made = schedules.backfill(options["name"], options["start"], options["end"], using=terminal.using, by=somebody())
    if terminal.as_json:
        terminal.json([{"id": str(run_id)} for run_id in made])
    else:
        terminal.line(f"{len(made)} enqueued.")


Act = tuple[str, Callable[[ArgumentParser], None], Callable[[Terminal, Options], Any]]
ACTS: dict[str, Act] = {
    "list": ("List schedules with their next and last tick.", _takes_nothing, _list),
    "pause": ("Let a schedule tick no more.", _takes_a_name, _pause),
    "unpause": ("Let a paused schedule go on with its next tick.", _takes_a_name, _unpause),
    "run": ("Enqueue a run of a schedule now, beside its ticks.", _takes_a_name, _run),
    "backfill": ("Enqueue a run for each past tick that has none.", _takes_a_range, _backfill),
}
SUBCOMMANDS = (Subcommand("schedules", "Look at schedules and act on them.", _takes_an_act, _act),)
