"""Measure how fast tasks run on this project's database."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connections
from django.db.utils import DatabaseError
from django.utils.connection import ConnectionDoesNotExist

from django_tasks_durable.conf import Options, get_options
from django_tasks_durable.limits import Rate
from django_tasks_durable.management.bench import comparing, report, stage
from django_tasks_durable.management.bench.place import Place, PlaceTaken, place_of

SCENES = (
    "enqueue", "enqueue_many", "drain", "claim", "pickup", "steps", "resume", "visits", "growth", "snapshot", "long_run", "idle",
)  # fmt: skip
# What belongs to the project's databases or cannot be written into an environment variable, and the project's own code: a
# middleware makes a transaction of every enqueue and stands around every attempt.
NOT_PASSED_ON = {
    "database", "listen_database", "backoff", "retention", "rest", "queue_limits", "global_concurrency", "middleware",
}  # fmt: skip


class Interrupted(Exception):
    """Somebody asked the command to stop."""


def chosen_scenes(text: str) -> list[str]:
    """Read a comma-separated list of scenes."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := [name for name in names if name not in SCENES]:
        raise ArgumentTypeError(f"there is no scene {unknown[0]!r}; there are {', '.join(SCENES)}")
    return [name for name in SCENES if name in names] or list(SCENES)


def positive(text: str) -> float:
    """Read a number above zero."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1000:
        raise ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


class Command(BaseCommand):
    """Measure in a place of its own, beside what the database reaches by itself, and leave nothing behind."""

    help = (
        "Measure enqueueing, draining, pick-up, steps and more on this project's database, in a schema or file "
        "of its own that is taken away afterwards, beside the limits of the same database."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Say what to measure and where."""
        add = parser.add_argument
        add(
            "--only",
            type=chosen_scenes,
            default=list(SCENES),
            help=f"Scenes, separated by commas: {', '.join(SCENES)}.",
        )
        add(
            "--plans", action="store_true", help="Show how claims were planned in the scene growth (--json has it too)."
        )
        add(
            "--model",
            action="store_true",
            help="Also measure what a run costs in statements, commits, WAL and processor time, and hold the limit that "
            "follows against what is reached (PostgreSQL).",
        )
        add("--json", action="store_true", help="Write one JSON object instead of the table.")
        add(
            "--compare",
            type=Path,
            metavar="FILE",
            help="What an earlier run wrote with --json: name what fell since by more than the noise, and fail if anything did.",
        )
        add("--scale", type=positive, default=1.0, help="Shorten (0.1) or lengthen every scene (default: 1).")
        add("--backend", default="default", help="Alias in TASKS whose options are used (default: default).")
        add("--database", help="Alias of the database to measure on (default: the backend's).")
        add("--name", default="", help="Name of the schema, file or database to make (default: dtd_bench).")
        add("--overwrite", action="store_true", help="Delete what is there by that name, whoever made it.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Make the place, measure in it, take it away, and report."""
        settings = get_options(options["backend"])
        using = options["database"] or settings.database
        place = self._place(using, options)
        earlier = self._earlier(using, options)
        with _interruptible():
            try:
                self._prepare(place, options)
                results, failed = self._measure(place, settings, options)
            finally:
                with _undisturbed():
                    place.leave()
        self._report(results, options)
        if failed:
            raise CommandError(f"Could not measure: {'; '.join(f'{scene} ({why})' for scene, why in failed.items())}")
        if earlier is not None and (falls := comparing.falls(earlier, results)):
            raise CommandError(f"Slower than in {options['compare']}: {'; '.join(map(str, falls))}")

    def _earlier(self, using: str, options: Mapping[str, Any]) -> comparing.Results | None:
        if options["compare"] is None:
            return None
        try:
            return comparing.read(options["compare"], vendor=connections[using].vendor, scale=options["scale"])
        except comparing.NotComparable as error:
            raise CommandError(str(error)) from error

    def _place(self, using: str, options: Mapping[str, Any]) -> Place:
        try:
            return place_of(using, options["name"])
        except ConnectionDoesNotExist as error:
            raise CommandError(
                f"There is no database {using!r} in DATABASES; there are {', '.join(connections)}."
            ) from error

    def _prepare(self, place: Place, options: Mapping[str, Any]) -> None:
        try:
            place.prepare(overwrite=options["overwrite"])
        except PlaceTaken as error:
            raise CommandError(str(error)) from error
        except DatabaseError as error:
            raise CommandError(f"Cannot make a place to measure in: {error}") from error

    def _measure(
        self, place: Place, settings: Options, options: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, str]]:
        order = json.dumps({key: options[key] for key in ("scale", "model")} | {"scenes": options["only"]})
        passed_on = {
            option.name: str(value) if isinstance(value, Rate) else value
            for option in fields(settings)
            if option.name not in NOT_PASSED_ON
            for value in [getattr(settings, option.name)]
        }
        child = subprocess.Popen(
            [sys.executable, "-m", stage.MODULE, "measure", order],
            env=stage.environment(place.address(), passed_on),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        results: dict[str, Any] = {}
        failed: dict[str, str] = {}
        try:
            assert child.stdout is not None
            for line in child.stdout:
                self._hear(json.loads(line), results, failed, options)
        finally:
            _end(child)
        if not results:
            raise CommandError(f"The measuring process ended with {child.returncode} before it had any results.")
        return results, failed

    def _hear(
        self, news: dict[str, Any], results: dict[str, Any], failed: dict[str, str], options: Mapping[str, Any]
    ) -> None:
        results.update(news.get("results", {}))
        if "failed" in news:
            failed[news["failed"]] = news["why"]
        if "scene" in news and options["verbosity"] > 0:
            self.stderr.write(f"{news['scene']} ...", ending="\n", style_func=str)
        if "say" in news and options["verbosity"] > 1:
            self.stderr.write(f"  {news['say']}", style_func=str)

    def _report(self, results: dict[str, Any], options: Mapping[str, Any]) -> None:
        if options["json"]:
            self.stdout.write(json.dumps(results))
        else:
            for line in report.table(results):
                self.stdout.write(line)
            for line in report.plans(results) if options["plans"] else ():
                self.stdout.write(line)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Turn SIGTERM and SIGINT into an exception, so that what was made is taken away, then end as they ask."""

    def hear(number: int, frame: FrameType | None) -> None:
        raise Interrupted(number)

    try:
        before = {number: signal.signal(number, hear) for number in (signal.SIGTERM, signal.SIGINT)}
    except ValueError:  # not on the main thread: there are no signals to hear
        yield
        return
    try:
        yield
    except Interrupted as interruption:
        raise SystemExit(128 + interruption.args[0]) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Let nothing but SIGKILL interrupt the cleaning up."""
    try:
        before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGTERM, signal.SIGINT)}
    except ValueError:  # not on the main thread
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(child: subprocess.Popen[str]) -> None:
    """End the measuring process with all its workers."""
    with _undisturbed():
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(1.0 if sys.exc_info()[0] is None else 0.0)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                stream.close()
