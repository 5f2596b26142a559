"""Subcommands for the one on duty: doctor, stats."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Iterator

from django.core.checks import WARNING, Tags, run_checks

from django_tasks_durable.authoring.registry import registered
from django_tasks_durable.checks import TAG
from django_tasks_durable.management import table
from django_tasks_durable.management.tasks.subcommands import Options, Subcommand
from django_tasks_durable.management.tasks.terminal import Terminal
from django_tasks_durable.snapshots import health, house, queues
from django_tasks_durable.snapshots.text import one_line, plain


def _takes_a_worker(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--worker", metavar="ID", help="Only say whether this worker is alive (its id, or what --worker-id called it)."
    )


def _doctor(terminal: Terminal, options: Options) -> None:
    """Exit with 1 when something is broken, so that a probe can ask."""
    if options["worker"]:
        _one_worker(terminal, options["worker"])
        return
    findings = sorted(
        [*_misconfigured(terminal.using), *health.diagnose(using=terminal.using, known=registered())],
        key=lambda finding: health.SEVERITIES.index(finding.severity),
    )
    is_well = all(finding.severity != health.ERROR for finding in findings)
    if terminal.as_json:
        terminal.json({"healthy": is_well, "findings": [finding.as_dict() for finding in findings]})
    else:
        for finding in findings:
            terminal.line(f"{finding.severity.upper():8} {one_line(finding.message)}")
            terminal.line(f"         {one_line(finding.hint)}")
        terminal.line("Nothing is wrong." if not findings else f"{len(findings)} finding(s).")
    if not is_well:
        sys.exit(1)


def _misconfigured(using: str) -> Iterator[health.Finding]:
    """Give what ``manage.py check --database`` says of tasks, for somebody who would not think of asking it."""
    for message in run_checks(tags=[TAG, Tags.database], databases=[using]):
        code = str(message.id)
        if code.startswith(f"{TAG}."):
            severity = (
                health.ERROR if message.is_serious() else health.WARNING if message.level >= WARNING else health.INFO
            )
            yield health.Finding(
                code=code.rpartition(".")[2], severity=severity, message=message.msg, hint=message.hint or ""
            )


def _one_worker(terminal: Terminal, name: str) -> None:
    condition = health.worker_condition(name, using=terminal.using)
    if terminal.as_json:
        terminal.json({"worker": name, "condition": condition or "unknown"})
    else:
        terminal.line(f"{plain(name)}: {condition or 'unknown'}")
    if condition != "alive":
        sys.exit(1)


def _stats(terminal: Terminal, options: Options) -> None:
    found = queues.queues(using=terminal.using)
    overview = house.overview(using=terminal.using)
    if terminal.as_json:
        terminal.json({"overview": overview.as_dict(), "queues": [queue.as_dict() for queue in found]})
        return
    terminal.line(table.counts_line(overview))
    terminal.line(
        f"{overview.workers_alive} worker(s) alive, {overview.waits_pending} question(s) waiting for an answer"
    )
    for line in table.queue_lines(found):
        terminal.line(line)


SUBCOMMANDS = (
    Subcommand(
        "doctor",
        "Say what keeps work from being done and what to do; exit with 1 if something is broken.",
        _takes_a_worker,
        _doctor,
    ),
    Subcommand("stats", "Count what is open, queue by queue.", lambda parser: None, _stats),
)
