"""``manage.py demo``: import the world's airports, with a crash half-way; or play one of the smaller examples."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
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
from example_project.examples import Example, ExampleFailed, Stage, all_examples, find

MAIN = "airports"
DATABASE_FILE = "demo.sqlite3"
LEASE_SECONDS = "3"
HOPS_SHOWN = 5


class Command(BaseCommand):
    """Run the main job of the example project, or another of its examples, and check what comes out."""

    help = (
        "Import every row of the airportsdata package as a durable task: start a worker, kill it with SIGKILL "
        "half-way, go on with another, answer the task's question, and check the figures against the file. "
        "With a name, play that example instead (--list names them)."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Name the options."""
        parser.add_argument("name", nargs="?", default=MAIN, help="Which example (default: the airport import).")
        parser.add_argument("--list", action="store_true", dest="lists", help="Name every example and stop.")
        parser.add_argument("--script", help="What to say to an example that takes orders, parted by semicolons.")
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
        if options["lists"]:
            self._list()
        elif options["name"] != MAIN:
            self._play(directory, options)
        else:
            self._import(directory, options)

    def _list(self) -> None:
        self.stdout.write(f"{MAIN:18} the world's airports are imported; the worker is killed half-way (the default)")
        for example in all_examples().values():
            self.stdout.write(f"{example.name:18} {example.title}{' (takes --script)' if example.takes_script else ''}")

    def _play(self, directory: Path, options: dict[str, Any]) -> None:
        """Play one of the smaller examples, on a database of its own."""
        try:
            example = find(options["name"])
            if options["script"] is not None and not example.takes_script:
                raise ExampleFailed(f"{example.name} takes no orders: leave --script out.")
            directory = directory / example.name
            settle(options["database_url"] or f"sqlite:///{directory / DATABASE_FILE}", directory)
            with alone_in(directory):
                if not options["database_url"]:
                    _begin_afresh(directory)
                call_command("migrate", verbosity=0, interactive=False)
                asks = options["interactive"] and sys.stdin is not None and sys.stdin.isatty()
                stage = Stage(self.stdout.write, directory, options["script"], input if asks else None)
                figures = _played(example, stage)
        except (DemoFailed, ExampleFailed) as error:
            raise CommandError(str(error)) from error
        if options["as_json"]:
            self.stdout.write(json.dumps({"example": example.name, **figures}, ensure_ascii=False, default=str))

    def _import(self, directory: Path, options: dict[str, Any]) -> None:
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


def _played(example: Example, stage: Stage) -> Mapping[str, Any]:
    stage.say(f"{example.name}: {example.title}")
    figures = example.play(stage)
    stage.say("Everything is as it should be.")
    return figures


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
