"""Subcommands that move tasks between databases as files: export, import."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn
from uuid import UUID

from django.core.management.base import CommandError

from django_tasks_durable.authoring.tasks import get_task, registered
from django_tasks_durable.engine.portable import export_snapshot, restore, validate_snapshot
from django_tasks_durable.exceptions import DurableError
from django_tasks_durable.management.tasks.subcommands import Options, Subcommand, takes_id
from django_tasks_durable.management.tasks.terminal import Terminal, somebody
from django_tasks_durable.snapshots import read
from django_tasks_durable.snapshots.text import one_line

STANDARD = "-"


def _takes_a_task_and_a_file(parser: ArgumentParser) -> None:
    takes_id(parser)
    parser.add_argument(
        "--output", metavar="FILE", default=STANDARD, help="Write to this file (default: the terminal)."
    )
    parser.add_argument(
        "--with-tokens", action="store_true", help="Write the tokens too, with which anybody can answer its questions."
    )
    parser.add_argument("--lossy", action="store_true", help="Leave out values that are damaged, and say which.")


def _export(terminal: Terminal, options: Options) -> None:
    run_id = terminal.run_id(options["ids"][0])
    document = export_snapshot(run_id, using=terminal.using, with_tokens=options["with_tokens"], lossy=options["lossy"])
    lost = document.get("warnings", [])
    if options["output"] == STANDARD:
        terminal.json(document)
        return
    try:
        Path(options["output"]).write_text(json.dumps(document, indent=1) + "\n", encoding="ascii")
    except OSError as error:
        raise CommandError(f"The file cannot be written: {error}") from None
    if terminal.as_json:
        terminal.json({"id": str(run_id), "output": options["output"], "warnings": lost})
    else:
        told = f"{len(document['steps'])} checkpoints" + (f", {len(lost)} values lost" if lost else "")
        terminal.line(f"{run_id}  {one_line(options['output'])}  {told}")


def _takes_a_file(parser: ArgumentParser) -> None:
    parser.add_argument(
        "file", metavar="FILE", help="What `tasks export` or awaitly has written; - for standard input."
    )
    parser.add_argument("--task", metavar="PATH", help="The task that it is of, which awaitly's snapshots do not say.")
    parser.add_argument("--as-new-id", action="store_true", help="Make it a task of its own beside the one it was.")
    parser.add_argument("--lossy", action="store_true", help="Take it although values were lost when it was written.")


def _import(terminal: Terminal, options: Options) -> None:
    text = _text(options["file"])
    problems = list(_problems(text, terminal, options))
    if problems:
        _refuse(terminal, problems)
    task = None if options["task"] is None else get_task(options["task"])
    try:
        restored = restore(text, task)
    except DurableError as error:
        _refuse(terminal, [str(error)])
    kept = None if options["as_new_id"] else restored.run.run_id
    run_id = restored.into_database(using=terminal.using, run_id=kept, by=somebody())
    if terminal.as_json:
        state = read.one(run_id, using=terminal.using).state.value
        terminal.json({"id": str(run_id), "imported": True, "state": state, "remarks": list(restored.remarks)})
        return
    terminal.line(str(run_id))
    for remark in restored.remarks:
        terminal.line(f"  {one_line(remark)}")


def _text(file: str) -> str:
    try:
        return sys.stdin.read() if file == STANDARD else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"The file cannot be read: {error}") from None


def _refuse(terminal: Terminal, problems: list[str]) -> NoReturn:
    if terminal.as_json:
        terminal.json({"imported": False, "problems": problems})
    raise CommandError("Nothing was imported:\n" + "\n".join(f"  {one_line(problem)}" for problem in problems))


def _problems(text: str, terminal: Terminal, options: Options) -> Iterator[str]:
    """Say all that keeps a file from being imported, whatever else is wrong with it."""
    yield from validate_snapshot(text).errors
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return
    if not isinstance(document, Mapping):
        return
    told = document.get("durable")
    own: Mapping[str, Any] = told if isinstance(told, Mapping) else {}
    yield from _about_the_task(own.get("task_path"), options["task"])
    if not options["as_new_id"] and (taken := _taken(own.get("run_id"), terminal)):
        yield f"$.durable.run_id: there is a task {taken} already; give --as-new-id for one beside it"
    lost = document.get("warnings")
    if isinstance(lost, list) and lost and not options["lossy"]:
        yield f"$.warnings: {len(lost)} values were lost when it was written; give --lossy to take it without them"


def _about_the_task(stored: object, wanted: str | None) -> Iterator[str]:
    path = stored if isinstance(stored, str) else wanted
    if path is None:
        yield "it does not say which task it is of: give --task"
    elif wanted is not None and path != wanted:
        yield f"$.durable.task_path: it is of {path}, not of {wanted}"
    elif path not in registered():
        yield f"this process knows no task {path}: is its module imported by an installed app's tasks.py?"


def _taken(run_id: object, terminal: Terminal) -> UUID | None:
    try:
        found = read.one(UUID(str(run_id)), using=terminal.using)
    except (ValueError, DurableError):
        return None
    return found.id


SUBCOMMANDS = (
    Subcommand("export", "Write a task with its history as JSON.", _takes_a_task_and_a_file, _export),
    Subcommand("import", "Bring in a task from such a file, to go on here.", _takes_a_file, _import),
)
