"""What can be said about the settings of one alias without asking a database."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from django.conf import settings
from django.core import checks
from django.db import DatabaseError

from django_tasks_durable.conf import InvalidOptions, Options, get_options, nearest, option_names, problems_in

TOP_LEVEL = ["BACKEND", "QUEUES", "OPTIONS"]
LONGEST_ALIAS = 64


def usable(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry of TASKS without the parts that Django could not even look at; the check tells of them."""
    kept = dict(params)
    if not isinstance(kept.get("OPTIONS", {}), Mapping):
        kept["OPTIONS"] = {}
    if not _is_list_of_names(kept.get("QUEUES", [])):
        kept["QUEUES"] = []
    return kept


def not_installed(alias: str) -> checks.Error:
    """Say that the app is missing."""
    return checks.Error(
        f"TASKS[{alias!r}] uses DurableBackend, but the app is not installed.",
        hint="Add 'django_tasks_durable' to INSTALLED_APPS and run 'manage.py migrate'.",
        id="durable_tasks.E001",
    )


def about_queues(alias: str, queues: Collection[str]) -> str:
    """Say which queues an alias names, and how another one comes to be among them."""
    named = ", ".join(map(repr, sorted(queues)))
    return f"TASKS[{alias!r}]['QUEUES'] has {named}. Add it there; an empty list allows every name."


def note_missing_table(error: DatabaseError) -> None:
    """Let an error say what helps where a table of this app was not found."""
    told = str(error).lower()
    if "durable_tasks_" in told and any(word in told for word in ("no such table", "does not exist", "doesn't exist")):
        error.add_note("The tables of django_tasks_durable are not there: run 'manage.py migrate'.")


def alias_messages(alias: str, params: Mapping[str, Any]) -> list[checks.CheckMessage]:
    """Say what is wrong with an entry of TASKS."""
    options = params.get("OPTIONS") or {}
    problems = problems_in(options)
    messages: list[checks.CheckMessage] = [
        checks.Error(
            f"TASKS[{alias!r}]['OPTIONS']: {problem.message}", hint=problem.hint or None, id="durable_tasks.E004"
        )
        for problem in problems
    ]
    messages += _entry_messages(alias, params)
    return messages if problems else messages + _database_messages(alias)


def _entry_messages(alias: str, params: Mapping[str, Any]) -> list[checks.CheckMessage]:
    messages: list[checks.CheckMessage] = [
        checks.Error(
            f"TASKS[{alias!r}] has the unknown key {name!r}.", hint=_place_of(str(name)), id="durable_tasks.E004"
        )
        for name in params
        if name not in TOP_LEVEL
    ]
    queues = params.get("QUEUES", [])
    if not _is_list_of_names(queues):
        messages.append(
            checks.Error(
                f"TASKS[{alias!r}]['QUEUES'] is {queues!r}.",
                hint="Give a list of names; an empty one allows every name.",
                id="durable_tasks.E004",
            )
        )
    if len(alias) > LONGEST_ALIAS:
        messages.append(
            checks.Error(
                f"The alias {alias[:80]!r} of TASKS has more than {LONGEST_ALIAS} characters.",
                hint="Each run keeps the alias that it was enqueued under; give it a shorter name.",
                id="durable_tasks.E004",
            )
        )
    return messages


def _is_list_of_names(queues: Any) -> bool:
    return isinstance(queues, list | tuple | set | frozenset) and all(isinstance(name, str) for name in queues)


def _place_of(name: str) -> str:
    if name in option_names():
        return f"Move it into TASKS[...]['OPTIONS']: {{{name!r}: ...}}."
    return nearest(name, TOP_LEVEL)


def _database_messages(alias: str) -> list[checks.CheckMessage]:
    try:
        options = get_options(alias)
    except InvalidOptions:
        return []  # Told already.
    return [
        checks.Error(
            f"TASKS[{alias!r}]['OPTIONS'][{name!r}] is {database!r}, which is not in DATABASES.",
            hint=nearest(database, list(settings.DATABASES)),
            id="durable_tasks.E006",
        )
        for name, database in _databases(options)
        if database not in settings.DATABASES
    ]


def _databases(options: Options) -> list[tuple[str, str]]:
    named = {"database": options.database, "listen_database": options.listen_database}
    return [(name, database) for name, database in named.items() if database is not None]
