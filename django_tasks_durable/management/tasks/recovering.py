"""The subcommand that starts tasks anew, one by one or all that an outage has cost."""

from __future__ import annotations

import random
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from django.core.management.base import CommandError

from django_tasks_durable.exceptions import DurableError
from django_tasks_durable.management.tasks.choosing import chosen, is_narrowed, takes_filters
from django_tasks_durable.management.tasks.subcommands import Options, Subcommand, positive
from django_tasks_durable.management.tasks.terminal import Terminal, somebody
from django_tasks_durable.primitives.status import State
from django_tasks_durable.snapshots import narrowing, read
from django_tasks_durable.snapshots.text import one_line
from django_tasks_durable.store import control

AT_MOST = 1000
REFUSALS_SAID = 10


def _takes_ids_or_filters(parser: ArgumentParser) -> None:
    parser.add_argument("ids", metavar="ID", nargs="*", help="A task's id, or the end or beginning of it.")
    parser.add_argument("--all", action="store_true", dest="everything", help="All that failed, the oldest first.")
    takes_filters(parser, limit=AT_MOST)
    parser.add_argument(
        "--exception", metavar="CLASS", help="Only tasks that this exception failed, by its whole path."
    )
    parser.add_argument(
        "--since", type=positive, metavar="MINUTES", help="Only tasks that ended within so many minutes."
    )
    parser.add_argument(
        "--over",
        type=positive,
        metavar="SECONDS",
        help="Spread them over so many seconds, so that they do not come at once.",
    )
    parser.add_argument("--dry-run", action="store_true", help="Only count.")


def _retry(terminal: Terminal, options: Options) -> None:
    by, over = somebody(), options["over"] or 0

    def retry(run_id: UUID) -> object:
        return control.retry(run_id, using=terminal.using, by=by, after_seconds=random.uniform(0, over))

    is_filtered = options["everything"] or is_narrowed(options) or options["exception"] or options["since"]
    if bool(options["ids"]) == bool(is_filtered):
        raise CommandError(
            "Name tasks by their ids, or choose them: --all, --task, --queue-name, --exception, --since ..."
        )
    if options["ids"]:
        terminal.each(options["ids"], retry)
    else:
        _retry_chosen(terminal, options, retry)


def _retry_chosen(terminal: Terminal, options: Options, retry: Callable[[UUID], object]) -> None:
    """Retry each chosen run in a transaction of its own, and say how many, and why others were refused."""
    queryset = chosen(terminal.using, options | {"state": options["state"] or State.FAILED.value})
    if options["exception"]:
        queryset = narrowing.failed_with(queryset, options["exception"])
    if options["since"]:
        queryset = narrowing.ended_within(queryset, timedelta(minutes=options["since"]))
    ids = read.retriable(queryset, limit=options["limit"])
    refused = Counter[str]()
    for run_id in () if options["dry_run"] else ids:
        try:
            retry(run_id)
        except DurableError as error:
            refused[error.code] += 1
    _tell(terminal, len(ids), refused, dry_run=options["dry_run"], limit=options["limit"])


def _tell(terminal: Terminal, found: int, refused: Counter[str], *, dry_run: bool, limit: int) -> None:
    done = 0 if dry_run else found - refused.total()
    if terminal.as_json:
        terminal.json({"found": found, "retried": done, "refused": dict(refused), "dry_run": dry_run})
        return
    terminal.line(f"{found} task(s) would be retried." if dry_run else f"{done} task(s) will run again.")
    for code, number in refused.most_common(REFUSALS_SAID):
        terminal.line(f"{number} refused: {one_line(code)}")
    if found == limit:
        terminal.line(f"Only the oldest {limit} were looked at: do it again for the rest, or raise --limit.")


SUBCOMMANDS = (
    Subcommand("retry", "Run failed or cancelled tasks again from their checkpoints.", _takes_ids_or_filters, _retry),
)
