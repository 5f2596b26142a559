"""``manage.py demo``: import the world's airports, with a crash half-way."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, TextIO, cast

from django.conf import settings
from django.core.management import BaseCommand, CommandError, call_command
from django.db import connection

from example_project.airports import source, tasks
from example_project.airports.demo import audit, site
from example_project.airports.demo.screen import Screen
from example_project.airports.demo.story import DemoFailed, Outcome, Plot, Story
from example_project.airports.demo.workers import ChildDied, Children

DATABASE_FILE = "demo.sqlite3"
LEASE_SECONDS = "3"
HOPS_SHOWN = 5


class Command(BaseCommand):
    """Run the main job of the example project and check its figures against the file."""

    help = (
        "Import every row of the airportsdata package as a durable task: start a worker, kill it with SIGKILL "
        "half-way, go on with another, answer the task's question, and check the figures against the file."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Name the options."""
        parser.add_argument(
            "--no-input", action="store_false", dest="interactive", help="Let the demo answer the question."
        )
        parser.add_argument("--answer", choices=tasks.DECISIONS, help="Answer the question so, without asking.")
        parser.add_argument(
            "--json", action="store_true", dest="as_json", help="Print the figures as JSON on the last line."
        )
        parser.add_argument(
            "--serve", action="store_true", help="Keep the site and a worker up afterwards, until Ctrl-C."
        )
        parser.add_argument(
            "--port", type=int, default=8000, help="The port of the site, with --serve (default: 8000)."
        )
        parser.add_argument("--database-url", help="Run on this database instead of a fresh SQLite file.")
        parser.add_argument("--directory", type=Path, help="Where the database file, the logs and the report go.")
        parser.add_argument("--kill-at", type=float, default=50, metavar="PERCENT", help="When to kill (default: 50).")
        parser.add_argument(
            "--chunk-rows", type=int, default=tasks.CHUNK_ROWS, help="Rows to a chunk (default: %(default)s)."
        )
        parser.add_argument(
            "--plain-steps",
            action="store_false",
            dest="atomic",
            help="Write chunks in plain steps, to see the checks fail.",
        )
        parser.add_argument(
            "--timeout", type=float, default=110, help="Give up after so many seconds (default: %(default)s)."
        )

    def handle(self, **options: Any) -> None:
        """Tell the story, then check it."""
        directory = Path(options["directory"] or settings.BASE_DIR / "demo-out").resolve()
        url = options["database_url"]
        settle(url or f"sqlite:///{directory / DATABASE_FILE}", directory)
        signal.signal(signal.SIGTERM, _leave)
        screen = Screen(cast(TextIO, self.stdout._out), live=self.stdout.isatty())
        try:
            with alone_in(directory), Children(directory) as children:
                if options["serve"]:
                    site.expect_free(options["port"])
                if not url:
                    _begin_afresh(directory)
                self._run(screen, children, options)
        except (DemoFailed, ChildDied, source.SourceMissing) as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            raise CommandError("Interrupted.", returncode=130) from None

    def _run(self, screen: Screen, children: Children, options: dict[str, Any]) -> None:
        began = time.monotonic()
        file = source.read()
        screen.line(f"The airportsdata package, release {file.release}, has {len(file.rows):,} rows.")
        screen.line(f"Database: {_describe()}. Migrating.")
        call_command("migrate", verbosity=0, interactive=False)
        plot = _plot(options, screen)
        outcome = Story(plot, screen, children).tell(file.count_chunks(plot.chunk_rows))
        failed = _check(screen, outcome, plot)
        screen.line(f"Report: {outcome.figures['report']}")
        seconds = round(time.monotonic() - began, 1)
        screen.line(f"Done in {seconds} s." if not failed else "The figures do not agree.")
        if options["serve"]:
            site.serve(screen, children, options["port"])
        if options["as_json"]:
            screen.line(json.dumps(_as_json(outcome, seconds), ensure_ascii=False))
        if failed:
            raise DemoFailed(f"{len(failed)} of the figures do not agree: {', '.join(failed)}.")


def settle(url: str, directory: Path) -> None:
    """Begin again in an environment that names the demo's database and a short lease, unless this is that already.

    Django has read its settings by the time a command runs, so the process replaces itself. Workers inherit it all.
    """
    directory.mkdir(parents=True, exist_ok=True)
    wanted = {
        "DATABASE_URL": url,
        "LEASE_SECONDS": os.environ.get("LEASE_SECONDS", LEASE_SECONDS),
        "AIRPORTS_REPORT_DIR": str(directory),
    }
    if all(os.environ.get(name) == value for name, value in wanted.items()):
        return
    os.environ.update(wanted)
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


@contextmanager
def alone_in(directory: Path) -> Iterator[None]:
    """Hold the directory. Raise DemoFailed when another demo runs in it."""
    with (directory / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoFailed(f"Another demo runs in {directory}. Wait for it, or choose another --directory.") from None
        yield


def _plot(options: dict[str, Any], screen: Screen) -> Plot:
    has_terminal = sys.stdin is not None and sys.stdin.isatty()
    answer = options["answer"]
    if answer is None and not options["interactive"]:
        answer = tasks.MARK
    if answer is None and not has_terminal:
        screen.line("There is no terminal to ask on, so this is run as with --no-input.")
        answer = tasks.MARK
    return Plot(
        kill_at=options["kill_at"],
        answer=answer,
        atomic=options["atomic"],
        chunk_rows=options["chunk_rows"],
        timeout=options["timeout"],
    )


def _check(screen: Screen, outcome: Outcome, plot: Plot) -> list[str]:
    """Compare every figure with the file and return the names of those that do not agree."""
    figures, failed = outcome.figures, []
    screen.line()
    screen.line("Checked against the file:")
    for check in audit.checks(outcome.run, figures, audit.expect(outcome.run, figures["decision"], plot.chunk_rows)):
        screen.line(f"  {'ok   ' if check.agrees else 'WRONG'} {check}")
        if not check.agrees:
            failed.append(check.name)
    screen.line(f"Longest hops of {len(figures['longest_hops'])} countries, the first {HOPS_SHOWN}:")
    for hop in figures["longest_hops"][:HOPS_SHOWN]:
        screen.line(f"  {hop['country']} {hop['start']} to {hop['end']}, {hop['km']:,.0f} km")
    return failed


def _as_json(outcome: Outcome, seconds: float) -> dict[str, Any]:
    return {
        "rows_read": outcome.figures["rows_read"],
        "rows_written": outcome.figures["rows_written"],
        "doubtful": outcome.figures["doubtful"]["rows"],
        "chunks": audit.chunks_written(outcome.run),
        "chunks_written_twice": audit.chunks_written_twice(outcome.run),
        "killed_at_percent": outcome.killed_at_percent,
        "attempts": outcome.attempts,
        "longest_hops": outcome.figures["longest_hops"],
        "report": outcome.figures["report"],
        "seconds": seconds,
    }


def _begin_afresh(directory: Path) -> None:
    for ending in ("", "-wal", "-shm"):
        (directory / f"{DATABASE_FILE}{ending}").unlink(missing_ok=True)


def _describe() -> str:
    return f"{connection.display_name} {connection.settings_dict['NAME']}"


def _leave(number: int, frame: FrameType | None) -> None:
    # The children must end before this process does.
    raise SystemExit(128 + number)
