"""The subcommands of ``manage.py tasks``, a file per group."""

from __future__ import annotations

from django_tasks_durable.management.tasks import (
    acting,
    assisting,
    histories,
    looking,
    moving,
    queues,
    recovering,
    reencrypting,
    schedules,
    view,
    watching,
)
from django_tasks_durable.management.tasks.subcommands import Subcommand

GROUPS: tuple[tuple[Subcommand, ...], ...] = (
    looking.SUBCOMMANDS,
    acting.SUBCOMMANDS,
    recovering.SUBCOMMANDS,
    reencrypting.SUBCOMMANDS,
    histories.SUBCOMMANDS,
    schedules.SUBCOMMANDS,
    queues.SUBCOMMANDS,
    moving.SUBCOMMANDS,
    watching.SUBCOMMANDS,
    view.SUBCOMMANDS,
    assisting.SUBCOMMANDS,
)
SUBCOMMANDS = {subcommand.name: subcommand for group in GROUPS for subcommand in group}
