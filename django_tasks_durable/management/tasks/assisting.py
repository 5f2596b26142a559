"""The subcommand that lets an assistant look at tasks, and answer if it is allowed to."""

from __future__ import annotations

from argparse import ArgumentParser
from importlib.util import find_spec

from django.core.management.base import CommandError

from django_tasks_durable.management.mcp.desk import Desk
from django_tasks_durable.management.tasks.subcommands import Options, Subcommand
from django_tasks_durable.management.tasks.terminal import Terminal


def _takes_a_user(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--user", required=True, metavar="NAME", help="Whose eyes it sees with, and in whose name it acts."
    )
    parser.add_argument(
        "--allow-answers", action="store_true", help="Let it answer questions (default: it only looks)."
    )


def _mcp(terminal: Terminal, options: Options) -> None:
    if find_spec("mcp") is None:
        raise CommandError("The package 'mcp' is not installed: pip install 'django-tasks-durable[mcp]'.")
    desk = Desk(options["user"], backend=terminal.backend)
    _ = desk.user  # before anybody speaks: a name that is wrong is told to who has written it
    from django_tasks_durable.management.mcp.server import server  # the extra need not be there

    server(desk, allows_answers=options["allow_answers"]).run("stdio")


SUBCOMMANDS = (
    Subcommand("mcp", "Let an assistant look at tasks over MCP, as a user may see them.", _takes_a_user, _mcp),
)
