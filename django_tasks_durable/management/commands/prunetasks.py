"""Delete what has been kept long enough."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from django_tasks_durable.conf import RetentionPolicy, get_options
from django_tasks_durable.management.parsing import SuggestingParser
from django_tasks_durable.store import retention, vendors
from django_tasks_durable.store.retention import Pruned

DAY = 86_400
AGES = ("successful", "failed", "cancelled")


class Command(BaseCommand):
    """Delete ended runs by age and number, and old log lines, in bites of 500; nothing open is deleted."""

    help = (
        "Delete ended tasks that have been kept long enough, and log lines of long timelines, in small transactions. "
        "What is not given here comes from OPTIONS['retention']; workers do the same by themselves."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options, each like its key of the setting."""
        parser.__class__ = SuggestingParser  # Django makes the parser and gives no way to choose its class
        parser.add_argument("--backend", default="default", help="Alias in TASKS to read the setting of.")
        for name in AGES:
            parser.add_argument(f"--{name}", type=float, metavar="DAYS", help=f"Keep {name} tasks so many days.")
        parser.add_argument("--latest", type=int, metavar="N", help="Keep the newest N ended tasks of each kind.")
        parser.add_argument("--steps", type=int, metavar="N", help="Keep about the newest N lines of a timeline.")
        parser.add_argument("--dry-run", action="store_true", help="Only count.")
        parser.add_argument("--json", action="store_true", dest="as_json", help="Answer with one JSON object.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Prune bite by bite to the end of the table."""
        config = get_options(options["backend"])
        policy = _policy(config.retention, options)
        pruned = Pruned()
        for bite in _bites(vendors.session(config.database), policy, dry_run=options["dry_run"]):
            pruned += bite
            if not options["as_json"] and options["verbosity"] > 1:
                self.stdout.write(f"{pruned.deleted_tasks} so far")
        if options["as_json"]:
            told = {name: value for name, value in asdict(pruned).items() if name != "cursor"}
            self.stdout.write(json.dumps(told | {"dry_run": options["dry_run"]}))
            return
        verb = "Would delete" if options["dry_run"] else "Deleted"
        self.stdout.write(
            f"{verb} {pruned.deleted_tasks} task(s) and {pruned.deleted_steps} line(s), "
            f"{pruned.compacted_tasks} timeline(s) made shorter."
        )


def _policy(policy: RetentionPolicy, options: dict[str, Any]) -> RetentionPolicy:
    given = {name: options[name] * DAY for name in AGES if options[name] is not None}
    given |= {name: options[name] for name in ("latest", "steps") if options[name] is not None}
    try:
        checked = RetentionPolicy.of(given)
    except ValueError as error:
        raise CommandError(f"Retention: {error}") from error
    return replace(policy, **{name: getattr(checked, name) for name in given})


def _bites(session: vendors.Session, policy: RetentionPolicy, *, dry_run: bool) -> Iterator[Pruned]:
    bite = retention.prune(session, policy, dry_run=dry_run)
    yield bite
    while bite.cursor is not None:
        bite = retention.prune(session, policy, after=bite.cursor, dry_run=dry_run)
        yield bite
    while (surplus := retention.prune_surplus(session, policy, dry_run=dry_run)).deleted_tasks:
        yield surplus
        if dry_run:
            return
