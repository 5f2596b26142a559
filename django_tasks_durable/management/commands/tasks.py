"""Look at tasks and act on them from a terminal."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from django_tasks_durable.exceptions import DurableError
from django_tasks_durable.management.parsing import SuggestingParser, expect_tables
from django_tasks_durable.management.tasks import SUBCOMMANDS
from django_tasks_durable.management.tasks.terminal import Terminal
from django_tasks_durable.snapshots.text import plain


class Command(BaseCommand):
    """Look at tasks and act on them."""

    help = f"Look at tasks and act on them: {', '.join(SUBCOMMANDS)}."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the subcommands and their options."""
        parser.__class__ = SuggestingParser  # Django makes the outer parser and gives no way to choose its class
        choices = parser.add_subparsers(dest="subcommand", metavar="SUBCOMMAND", required=True)
        for subcommand in SUBCOMMANDS.values():
            subcommand.add_to(choices)

    def handle(self, *args: Any, **options: Any) -> None:
        """Do what the subcommand says."""
        expect_tables(options["backend"])
        terminal = Terminal(self.stdout, self.style, backend=options["backend"], as_json=options["json"])
        try:
            with terminal.as_long_as_read():
                SUBCOMMANDS[options["subcommand"]].does(terminal, options)
        except DurableError as error:
            raise CommandError(plain(error)) from error
