"""Subcommands about histories: fork, clear, replaycheck."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import CommandError

from django_tasks_durable.engine import replaycheck
from django_tasks_durable.management.tasks.subcommands import Options, Subcommand, from_json, positive, takes_id
from django_tasks_durable.management.tasks.terminal import Terminal, somebody
from django_tasks_durable.snapshots import read
from django_tasks_durable.snapshots.text import one_line
from django_tasks_durable.store import forks, transfers


def _takes_a_place_and_values(parser: ArgumentParser) -> None:
    _takes_a_place(parser)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        type=_value,
        dest="values",
        metavar="PATH=JSON",
        help="Give what is kept another value; the place itself is kept then, too. May be given several times.",
    )


def _takes_a_place(parser: ArgumentParser) -> None:
    takes_id(parser)
    parser.add_argument("--path", required=True, help="The place in its history, such as step:load.")


def _value(text: str) -> tuple[str, Any]:
    path, equals, value = text.partition("=")
    if not equals:
        raise ArgumentTypeError(f"{text!r} has no '=': write it as step:load=7")
    return path, from_json(value)


def _fork(terminal: Terminal, options: Options) -> None:
    run_id = terminal.run_id(options["ids"][0])
    forked = forks.fork(run_id, options["path"], values=dict(options["values"]), using=terminal.using, by=somebody())
    if terminal.as_json:
        terminal.json(read.one(forked, using=terminal.using).as_dict(show=terminal.veil))
    else:
        terminal.line(str(forked))


def _clear(terminal: Terminal, options: Options) -> None:
    run_id = terminal.run_id(options["ids"][0])
    gone = forks.clear(run_id, options["path"], using=terminal.using, by=somebody())
    if terminal.as_json:
        terminal.json({"id": str(run_id), "cleared": gone})
        return
    for path in gone:
        terminal.line(one_line(path))


def _takes_a_choice(parser: ArgumentParser) -> None:
    parser.add_argument("--task", default="", help="Only runs of tasks whose path begins so.")
    parser.add_argument("--limit", type=positive, default=1000, help="At most so many, the newest (default: 1000).")
    parser.add_argument("--all", action="store_true", help="Finished runs, too; only open ones otherwise.")


def _replaycheck(terminal: Terminal, options: Options) -> None:
    chosen = read.begun(using=terminal.using, task=options["task"], is_open=not options["all"])[: options["limit"]]
    findings = [
        replaycheck.check(run_id, transfers.take_out(run_id, using=terminal.using))
        for run_id in chosen.values_list("id", flat=True)
    ]
    wrong = [finding for finding in findings if finding.is_wrong]
    if terminal.as_json:
        terminal.json(
            [
                {"id": str(each.run_id), "task": each.task_path, "state": each.state, "message": each.message}
                for each in findings
            ]
        )
    else:
        for each in findings:
            if each.state != "ok":
                terminal.line(f"{each.run_id}  {each.state}  {one_line(each.task_path)}  {one_line(each.message)}")
        terminal.line(f"{len(findings)} runs replayed, {len(wrong)} would be parked.")
    if wrong:
        raise CommandError(f"{len(wrong)} of {len(findings)} runs do not follow the code any more.", returncode=1)


SUBCOMMANDS = (
    Subcommand("fork", "Start a new run from a place in a run's history.", _takes_a_place_and_values, _fork),
    Subcommand("clear", "Forget what a run did at a place and after it.", _takes_a_place, _clear),
    Subcommand(
        "replaycheck", "Replay stored runs against this code without effects; fail if one drifts.", _takes_a_choice,
        _replaycheck,
    ),
)  # fmt: skip
