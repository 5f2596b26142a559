"""Look at tasks and act on them from a terminal."""

from __future__ import annotations

import getpass
import json
import socket
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from django_tasks_durable.authoring.tasks import get_task, registered
from django_tasks_durable.conf import get_options
from django_tasks_durable.exceptions import DurableError
from django_tasks_durable.management import table
from django_tasks_durable.management.parsing import SuggestingParser
from django_tasks_durable.primitives.status import RunStatus, State
from django_tasks_durable.snapshots import read
from django_tasks_durable.snapshots.policy import Veil
from django_tasks_durable.snapshots.shapes import RunSnapshot
from django_tasks_durable.snapshots.text import duration, one_line, plain
from django_tasks_durable.store import control

SHORTEST_ID = 4


class Command(BaseCommand):
    """Look at tasks and act on them."""

    help = "Look at tasks and act on them: list, show, enqueue, cancel, retry, resume, run-now."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the subcommands and their options."""
        parser.__class__ = SuggestingParser  # Django makes the outer parser and gives no way to choose its class
        choices = parser.add_subparsers(dest="subcommand", metavar="SUBCOMMAND", required=True)
        self._add_list(_add(choices, "list", "List tasks, the newest first."))
        _add_ids(_add(choices, "show", "Show one task: its state, timeline, checkpoints and open questions."), nargs=1)
        self._add_enqueue(_add(choices, "enqueue", "Enqueue a task that this process knows."))
        cancel = _add(choices, "cancel", "Cancel tasks.")
        _add_ids(cancel)
        cancel.add_argument("--reason", default="", help="Why; it is kept with the task.")
        _add_ids(_add(choices, "retry", "Run failed or cancelled tasks again from their checkpoints."))
        resume = _add(choices, "resume", "Answer a waiting task.")
        _add_ids(resume, nargs=1)
        resume.add_argument("answer", metavar="ANSWER", help="The answer, as JSON unless --text is given.")
        resume.add_argument("--text", action="store_true", help="Take the answer as plain text.")
        resume.add_argument("--token", help="Which question is answered; needed when several are open.")
        _add_ids(_add(choices, "run-now", "Make delayed tasks due now."))

    def _add_list(self, parser: ArgumentParser) -> None:
        parser.add_argument("--state", choices=State.values, help="Only tasks in this state.")
        parser.add_argument("--queue-name", help="Only tasks of this queue.")
        parser.add_argument("--task", help="Only tasks whose path begins so.")
        parser.add_argument("--limit", type=_positive, default=20, help="At most so many (default: 20).")

    def _add_enqueue(self, parser: ArgumentParser) -> None:
        parser.add_argument("path", metavar="TASK", help="The task's path, such as shop.tasks.send_invoice.")
        parser.add_argument(
            "--args", type=_json, default=[], dest="task_args", help="Positional arguments, a JSON list."
        )
        parser.add_argument(
            "--kwargs", type=_json, default={}, dest="task_kwargs", help="Keyword arguments, a JSON object."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Do what the subcommand says."""
        act: Callable[[dict[str, Any], str], None] = getattr(self, f"do_{options['subcommand'].replace('-', '_')}")
        try:
            act(options, get_options(options["backend"]).database)
        except DurableError as error:
            raise CommandError(plain(error)) from error

    # --- looking

    def do_list(self, options: dict[str, Any], using: str) -> None:
        """List tasks."""
        queryset = read.runs(using=using)
        if options["state"]:
            queryset = read.in_state(queryset, State(options["state"]))
        if options["queue_name"]:
            queryset = queryset.filter(queue_name=options["queue_name"])
        if options["task"]:
            queryset = queryset.filter(task_path__startswith=options["task"])
        found = read.summaries(queryset[: options["limit"]])
        if options["json"]:
            self._json([run.as_dict(show=_veil(options)) for run in found])
            return
        for row in table.aligned([table.HEADINGS, *map(table.row, found)]):
            self.stdout.write(row)
        if not found:
            self.stdout.write("There are none.")

    def do_show(self, options: dict[str, Any], using: str) -> None:
        """Show one task."""
        run = read.one(self._id(options["ids"][0], using), using=using)
        veil = _veil(options)
        lines = read.timeline(run.id, using=using)
        checkpoints = read.checkpoints(run.id, using=using)
        waits = read.waits(run.id, using=using)
        if options["json"]:
            parts = {
                "timeline": [line.as_dict(show=veil) for line in lines],
                "checkpoints": [checkpoint.as_dict(show=veil) for checkpoint in checkpoints],
                "waits": [wait.as_dict(show=veil) for wait in waits],
            }
            self._json(run.as_dict(show=veil) | parts)
            return
        self._facts(run, veil)
        is_cut = bool(lines) and lines[0].sequence > run.first_sequence
        self._section(f"Timeline (the last {len(lines)} of {run.last_sequence} lines)" if is_cut else "Timeline")
        for line in lines:
            words = [line.created_at.isoformat(sep=" ", timespec="seconds"), line.kind.value, line.path, line.remark]
            self.stdout.write("  " + "  ".join(one_line(word) for word in words if word))
        self._section("Checkpoints", if_any=checkpoints)
        for checkpoint in checkpoints:
            value = one_line(json.dumps(veil(checkpoint.value), ensure_ascii=False))
            took = f"  {duration(checkpoint.seconds)}" if checkpoint.seconds is not None else ""
            self.stdout.write(f"  {one_line(checkpoint.path)}{took}  {value[:100]}")
        self._section("Waits for an answer", if_any=waits)
        for wait in waits:
            question = one_line(json.dumps(veil(wait.request), ensure_ascii=False))
            self.stdout.write(f"  {one_line(wait.path)}  --token {wait.token}  {question[:200]}")

    def _facts(self, run: RunSnapshot, veil: Veil) -> None:
        shown = run.as_dict(show=veil)
        facts: dict[str, Any] = {
            "task": run.task_path,
            "id": run.id,
            "state": f"{run.state.value}{' (cancel requested)' if run.is_cancelling else ''}",
            "queue": run.queue_name,
            "attempt": f"{run.attempt} of {run.max_attempts}",
            "progress": table.progress(run),
            "enqueued": run.enqueued_at,
            "started": run.started_at,
            "finished": run.finished_at,
            "took": duration(run.run_seconds),
            "worker": run.lease_worker,
            "args": json.dumps(shown["args"], ensure_ascii=False),
            "kwargs": json.dumps(shown["kwargs"], ensure_ascii=False),
        }
        if run.result_text is not None:
            facts["result"] = json.dumps(shown["result"], ensure_ascii=False)
        for name, fact in facts.items():
            if fact not in (None, ""):
                self.stdout.write(f"{name + ':':<10} {one_line(fact)}")
        for error in run.errors[-1:]:
            self._section("Error")
            self.stdout.write(plain(error.traceback or f"{error.exception_class_path}: {error.message}"))

    def _section(self, title: str, *, if_any: Sequence[Any] | None = None) -> None:
        if if_any is None or if_any:
            self.stdout.write("")
            self.stdout.write(self.style.MIGRATE_HEADING(title))

    # --- acting

    def do_enqueue(self, options: dict[str, Any], using: str) -> None:
        """Enqueue a task."""
        path, arguments, named = options["path"], options["task_args"], options["task_kwargs"]
        if not isinstance(arguments, list) or not isinstance(named, dict):
            raise CommandError("--args takes a JSON list, --kwargs a JSON object.")
        if path not in registered():
            likely = get_close_matches(path, registered(), 1)
            hint = (
                f" Did you mean {likely[0]}?" if likely else " Is its module imported by an installed app's tasks.py?"
            )
            raise CommandError(f"This process knows no task {plain(path)}.{hint}")
        task = get_task(path)
        result = task.using(backend=options["backend"]).enqueue(*arguments, **named)
        if options["json"]:
            self._json(read.one(result.id, using=using).as_dict(show=_veil(options)))
        else:
            self.stdout.write(str(result.id))

    def do_cancel(self, options: dict[str, Any], using: str) -> None:
        """Cancel tasks."""
        self._each(
            options, using, lambda run_id: control.cancel(run_id, using=using, reason=options["reason"], by=_somebody())
        )

    def do_retry(self, options: dict[str, Any], using: str) -> None:
        """Retry tasks."""
        self._each(options, using, lambda run_id: control.retry(run_id, using=using, by=_somebody()))

    def do_run_now(self, options: dict[str, Any], using: str) -> None:
        """Make tasks due now."""
        self._each(options, using, lambda run_id: control.run_now(run_id, using=using, by=_somebody()))

    def do_resume(self, options: dict[str, Any], using: str) -> None:
        """Answer a task."""
        value = options["answer"] if options["text"] else _answer(options["answer"])
        self._each(
            options,
            using,
            lambda run_id: control.resume(run_id, value, token=options["token"], using=using, by=_somebody()),
        )

    def _each(self, options: dict[str, Any], using: str, act: Callable[[UUID], RunStatus]) -> None:
        """Act on each named task by itself, say what became of each, and fail if one was refused."""
        told: list[dict[str, Any]] = []
        for text in options["ids"]:
            try:
                run_id = self._id(text, using)
                act(run_id)
                told.append({"id": str(run_id), "done": True, "state": read.one(run_id, using=using).state.value})
            except (DurableError, CommandError) as error:
                told.append({"id": text, "done": False, "why": str(error)})
        if options["json"]:
            self._json(told)
        else:
            for entry in told:
                self.stdout.write(f"{one_line(entry['id'])}  {one_line(entry.get('state') or entry['why'])}")
        refused = [entry for entry in told if not entry["done"]]
        if refused:
            raise CommandError(f"{len(refused)} of {len(told)} refused.", returncode=1)

    # --- words in, words out

    def _id(self, text: str, using: str) -> UUID:
        """Find the run that a whole id, or the beginning or end of one, means."""
        wanted = text.replace("-", "")
        if len(wanted) < SHORTEST_ID:
            raise CommandError(
                f"{plain(text)!r} is too short for an id: give at least {SHORTEST_ID} characters of its end."
            )
        found = read.find(text, using=using)
        if not found:
            raise CommandError(f"There is no task {plain(text)}.")
        if len(found) > 1:
            some = ", ".join(str(run_id) for run_id in found[:5])
            raise CommandError(f"{plain(text)} may mean {len(found)} tasks: {some}{', …' if len(found) > 5 else ''}.")
        return found[0]

    def _json(self, value: Any) -> None:
        # ensure_ascii: nothing of a foreign text may reach the terminal as a control character.
        self.stdout.write(json.dumps(value, indent=2, ensure_ascii=True))


def _add(choices: Any, name: str, said: str) -> ArgumentParser:
    parser: ArgumentParser = choices.add_parser(name, help=said, description=said)
    parser.add_argument(
        "--backend", default="default", help="Alias in TASKS whose database is meant (default: default)."
    )
    parser.add_argument("--json", action="store_true", help="Write JSON, for machines.")
    return parser


def _add_ids(parser: ArgumentParser, *, nargs: int | str = "+") -> None:
    parser.add_argument("ids", metavar="ID", nargs=nargs, help="A task's id, or the end or beginning of it.")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArgumentTypeError(f"this is not JSON: {error}") from None


def _answer(text: str) -> Any:
    try:
        return _json(text)
    except ArgumentTypeError as error:
        raise CommandError(f"The answer cannot be read: {error}. Quote it as JSON, or add --text.") from None


def _veil(options: dict[str, Any]) -> Veil:
    return Veil(sees_payloads=True, keys=tuple(get_options(options["backend"]).redact_keys))


def _somebody() -> str:
    """Name the person at this terminal, for the timeline."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        name = "unknown"
    return f"{name}@{socket.gethostname()}"
