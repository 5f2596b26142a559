"""Subcommands that act on tasks: enqueue, cancel, resume, send, run-now."""

from __future__ import annotations

import json
from argparse import ArgumentParser, ArgumentTypeError
from difflib import get_close_matches
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError

from django_tasks_durable.authoring.declarations import misfit
from django_tasks_durable.authoring.tasks import DurableTask, get_task, options_of, registered
from django_tasks_durable.backend import answering
from django_tasks_durable.management.tasks.subcommands import Options, Subcommand, from_json, takes_id, takes_ids
from django_tasks_durable.management.tasks.terminal import Terminal, somebody
from django_tasks_durable.primitives.origins import ENQUEUED_BY
from django_tasks_durable.snapshots import policy, read
from django_tasks_durable.snapshots.text import plain
from django_tasks_durable.store import control, messages


def _takes_a_call(parser: ArgumentParser) -> None:
    parser.add_argument("path", metavar="TASK", help="The task's path, such as shop.tasks.send_invoice.")
    parser.add_argument(
        "--args", type=from_json, default=[], dest="task_args", help="Positional arguments, a JSON list."
    )
    parser.add_argument(
        "--kwargs", type=from_json, default={}, dest="task_kwargs", help="Keyword arguments, a JSON object."
    )


def _enqueue(terminal: Terminal, options: Options) -> None:
    path, arguments, named = options["path"], options["task_args"], options["task_kwargs"]
    if not isinstance(arguments, list) or not isinstance(named, dict):
        raise CommandError("--args takes a JSON list, --kwargs a JSON object.")
    if path not in registered():
        likely = get_close_matches(path, registered(), 1)
        hint = f" Did you mean {likely[0]}?" if likely else " Is its module imported by an installed app's tasks.py?"
        raise CommandError(f"This process knows no task {plain(path)}.{hint}")
    task: Any = get_task(path).using(backend=terminal.backend)
    if problem := misfit(task, json.dumps(arguments), json.dumps(named)):
        raise CommandError(f"These arguments do not fit {plain(path)}: {problem}. Give them by --args and --kwargs.")
    if isinstance(task, DurableTask):
        task = task.using(metadata={**options_of(task).metadata, ENQUEUED_BY: somebody()})
    result = task.enqueue(*arguments, **named)
    if terminal.as_json:
        terminal.json(read.one(result.id, using=terminal.using).as_dict(show=terminal.veil))
    else:
        terminal.line(str(result.id))


def _takes_ids_and_a_reason(parser: ArgumentParser) -> None:
    takes_ids(parser)
    parser.add_argument("--reason", default="", help="Why; it is kept with the task.")


def _cancel(terminal: Terminal, options: Options) -> None:
    terminal.each(
        options["ids"],
        lambda run_id: control.cancel(run_id, using=terminal.using, reason=options["reason"], by=somebody()),
    )


def _run_now(terminal: Terminal, options: Options) -> None:
    terminal.each(options["ids"], lambda run_id: control.run_now(run_id, using=terminal.using, by=somebody()))


def _takes_an_answer(parser: ArgumentParser) -> None:
    takes_id(parser)
    parser.add_argument("answer", metavar="ANSWER", help="The answer, as JSON unless --text is given.")
    parser.add_argument("--text", action="store_true", help="Take the answer as plain text.")
    parser.add_argument("--token", help="Which question is answered; needed when several are open.")
    parser.add_argument("--user", help="Who answers; they must have the permission that the question asks for.")


def _resume(terminal: Terminal, options: Options) -> None:
    said = options["answer"] if options["text"] else _answer(options["answer"])
    user = _user(options["user"]) if options["user"] is not None else None

    def resume(run_id: UUID) -> None:
        wait = answering.question_for(run_id, options["token"], using=terminal.using)
        if user is not None:
            answering.expect_permitted(wait, user)
        value = answering.in_form(wait, said)
        by = user.get_username() if user is not None else somebody()
        control.resume(run_id, value, token=wait.token, using=terminal.using, by=by)

    terminal.each(options["ids"], resume)


def _user(name: str) -> policy.User:
    user = policy.user_named(name)
    if user is None:
        raise CommandError(f"There is no user {plain(name)}.")
    return user


def _takes_a_message(parser: ArgumentParser) -> None:
    takes_id(parser)
    parser.add_argument("name", metavar="NAME", help="The name that the task receives it by.")
    parser.add_argument("payload", metavar="JSON", nargs="?", default="null", help="What to send (default: null).")


def _send(terminal: Terminal, options: Options) -> None:
    payload = _answer(options["payload"])
    terminal.each(
        options["ids"],
        lambda run_id: messages.send(run_id, options["name"], payload, using=terminal.using, by=somebody()),
    )


def _answer(text: str) -> Any:
    try:
        return from_json(text)
    except ArgumentTypeError as error:
        raise CommandError(f"{plain(text[:80])!r} cannot be read: {error}. Quote it as JSON, or add --text.") from None


SUBCOMMANDS = (
    Subcommand("enqueue", "Enqueue a task that this process knows.", _takes_a_call, _enqueue),
    Subcommand("cancel", "Cancel tasks.", _takes_ids_and_a_reason, _cancel),
    Subcommand("resume", "Answer a waiting task.", _takes_an_answer, _resume),
    Subcommand("send", "Send a task a message.", _takes_a_message, _send),
    Subcommand("run-now", "Make delayed tasks due now.", takes_ids, _run_now),
)
