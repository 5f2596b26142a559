"""Subcommands that look: list, show, waits."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django_tasks_durable.authoring.registry import registered
from django_tasks_durable.management import table
from django_tasks_durable.management.tasks.choosing import chosen, takes_filters
from django_tasks_durable.management.tasks.subcommands import Options, Subcommand, positive, takes_id
from django_tasks_durable.management.tasks.terminal import Terminal
from django_tasks_durable.snapshots import read
from django_tasks_durable.snapshots import waits as asked_waits
from django_tasks_durable.snapshots.entries import as_entry
from django_tasks_durable.snapshots.shapes import RunSnapshot
from django_tasks_durable.snapshots.standstill import standstill
from django_tasks_durable.snapshots.text import duration, one_line, plain


def _list(terminal: Terminal, options: Options) -> None:
    found = read.summaries(chosen(terminal.using, options)[: options["limit"]])
    if terminal.as_json:
        terminal.json([run.as_dict(show=terminal.veil) for run in found])
        return
    for row in table.aligned([table.HEADINGS, *map(table.row, found)]):
        terminal.line(row)
    if not found:
        terminal.line("There are none.")


def _takes_an_id_and_a_shape(parser: ArgumentParser) -> None:
    takes_id(parser)
    parser.add_argument("--entries", action="store_true", help="Write the last lines of its timeline as JSON entries.")


def _show(terminal: Terminal, options: Options) -> None:
    run = read.one(terminal.run_id(options["ids"][0]), using=terminal.using)
    if options["entries"]:
        lines = read.timeline(run.id, using=terminal.using)
        terminal.json([as_entry(line, run, show=terminal.veil).as_dict() for line in lines])
        return
    if terminal.as_json:
        terminal.json(_whole(terminal, run))
        return
    _facts(terminal, run)
    _standstill(terminal, run)
    _timeline(terminal, run)
    checkpoints = read.checkpoints(run.id, using=terminal.using)
    terminal.section("Checkpoints", if_any=checkpoints)
    for checkpoint in checkpoints:
        value = one_line(json.dumps(terminal.veil(checkpoint.value), ensure_ascii=False))
        took = f"  {duration(checkpoint.seconds)}" if checkpoint.seconds is not None else ""
        terminal.line(f"  {one_line(checkpoint.path)}{took}  {value[:100]}")
    waits = read.waits(run.id, using=terminal.using)
    terminal.section("Waits for an answer", if_any=waits)
    for wait in waits:
        question = one_line(json.dumps(terminal.veil(wait.request), ensure_ascii=False))
        terminal.line(f"  {one_line(wait.path)}  --token {wait.token}  {question[:200]}")


def _whole(terminal: Terminal, run: RunSnapshot) -> dict[str, Any]:
    veil, using = terminal.veil, terminal.using
    return run.as_dict(show=veil) | {
        "timeline": [line.as_dict(show=veil) for line in read.timeline(run.id, using=using)],
        "checkpoints": [checkpoint.as_dict(show=veil) for checkpoint in read.checkpoints(run.id, using=using)],
        "waits": [wait.as_dict(show=veil) for wait in read.waits(run.id, using=using)],
    }


def _facts(terminal: Terminal, run: RunSnapshot) -> None:
    shown = run.as_dict(show=terminal.veil)
    facts: dict[str, Any] = {
        "task": run.task_path,
        "id": run.id,
        "state": f"{run.state.value}{' (cancel requested)' if run.is_cancelling else ''}",
        "queue": run.queue_name,
        "attempt": f"{run.attempt} of {run.max_attempts}",
        "progress": table.progress(run),
        "keys": ", ".join(f"{kind}:{key}" for kind, key in run.keys.items()),
        "channels": ", ".join(run.own_channels),
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
            terminal.line(f"{name + ':':<10} {one_line(fact)}")
    for error in run.errors[-1:]:
        terminal.section("Error")
        terminal.line(plain(error.traceback or f"{error.exception_class_path}: {error.message}"))


def _standstill(terminal: Terminal, run: RunSnapshot) -> None:
    found = standstill(run, using=terminal.using, known=registered())
    terminal.section("What holds it up" if run.is_leased else "Why it is not running", if_any=found)
    for each in found:
        told = "" if each.seconds is None else f" ({duration(abs(each.seconds))}{' ago' if each.seconds < 0 else ''})"
        terminal.line(f"  {one_line(each.message)}{told}")
        if each.hint:
            terminal.line(f"    {one_line(each.hint)}")
        for other in each.runs:
            terminal.line(f"    {other.id}  {other.state.value}  {one_line(other.task_path)}")


def _timeline(terminal: Terminal, run: RunSnapshot) -> None:
    lines = read.timeline(run.id, using=terminal.using)
    is_cut = bool(lines) and lines[0].sequence > run.first_sequence
    terminal.section(f"Timeline (the last {len(lines)} of {run.last_sequence} lines)" if is_cut else "Timeline")
    for line in lines:
        words = [line.created_at.isoformat(sep=" ", timespec="seconds"), line.kind.value, line.path, line.remark]
        terminal.line("  " + "  ".join(one_line(word) for word in words if word))


def _takes_a_kind(parser: ArgumentParser) -> None:
    parser.add_argument("--kind", default="", help="Only questions of this kind, such as approval.")
    parser.add_argument("--limit", type=positive, default=100, help="At most so many (default: 100).")


def _waits(terminal: Terminal, options: Options) -> None:
    found = asked_waits.inbox(
        read.runs(using=terminal.using), kind=options["kind"], limit=options["limit"], using=terminal.using
    )
    if terminal.as_json:
        terminal.json([asked.as_dict(show=terminal.veil) for asked in found])
        return
    for asked in found:
        question = one_line(json.dumps(terminal.veil(asked.wait.request), ensure_ascii=False))
        words = (asked.run_id, one_line(asked.task_path), one_line(asked.wait.path))
        terminal.line(f"{'  '.join(map(str, words))}  --token {asked.wait.token}  {question[:200]}")
    if not found:
        terminal.line("There are none.")


SUBCOMMANDS = (
    Subcommand("list", "List tasks, the newest first.", takes_filters, _list),
    Subcommand(
        "show", "Show one task: its state, timeline, checkpoints and open questions.", _takes_an_id_and_a_shape, _show
    ),
    Subcommand("waits", "List the open questions of all tasks, the oldest first.", _takes_a_kind, _waits),
)
