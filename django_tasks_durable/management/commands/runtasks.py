"""Run the worker."""

from __future__ import annotations

import logging
import os
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import autoreload

from django_tasks_durable.authoring.middleware import ASYNC_CHAINS, CHAINS
from django_tasks_durable.authoring.tasks import registered
from django_tasks_durable.compat import task_backends
from django_tasks_durable.conf import durable_aliases, get_options, nearest
from django_tasks_durable.engine.attempt import is_async
from django_tasks_durable.exceptions import ExecutorUnfit
from django_tasks_durable.management.parsing import SuggestingParser, expect_tables
from django_tasks_durable.worker.loop import Worker, WorkerSettings
from django_tasks_durable.worker.memory import settle
from django_tasks_durable.worker.shutdown import StopSignals
from django_tasks_durable.worker.supervisor import Supervisor


def names(text: str) -> list[str] | None:
    """Read a comma-separated list of queues; ``*`` means all."""
    found = [name.strip() for name in text.split(",") if name.strip()]
    return None if "*" in found or not found else found


def at_least_one(text: str) -> int:
    """Read a whole number from 1."""
    if not text.isdigit() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def seconds(text: str) -> float:
    """Read a duration in seconds, 0.01 or more."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.01 <= value < 1e6:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds from 0.01")
    return value


class Command(BaseCommand):
    """Run tasks until told to stop: SIGTERM lets what runs end, a second one gives it back at once."""

    help = "Run tasks until told to stop (SIGTERM or Ctrl-C; twice to stop at once)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options that users of other queues look for."""
        parser.__class__ = SuggestingParser  # Django makes the parser and gives no way to choose its class
        add = parser.add_argument
        add("--backend", default="default", help="Alias in TASKS whose options and database to use (default: default).")
        add("--queue-name", type=names, default=None, help="Queues to serve, separated by commas (default: all).")
        add("--exclude-queues", type=names, default=None, help="Queues not to serve, separated by commas.")
        add("--concurrency", type=at_least_one, help="Synchronous tasks run at once, each on a thread (default: 4).")
        add("--async-concurrency", type=at_least_one, help="Asynchronous tasks run at once (default: 200).")
        add(
            "--executor",
            help="What carries synchronous tasks that name nothing themselves: thread, process or a dotted path "
            "(default: thread).",
        )
        add("--process-concurrency", type=at_least_one, help="Child processes at once (default: one to a processor).")
        add("--processes", type=at_least_one, default=1, help="Worker processes to keep alive (default: 1).")
        add("--interval", type=seconds, help="Seconds between polls; hints come earlier (default: 1).")
        add(
            "--batch", action="store_true", help="Stop when nothing is due. What dead workers left is taken over first."
        )
        add("--max-tasks", type=at_least_one, help="Stop after this many tasks (with --processes: and start anew).")
        add(
            "--max-memory",
            type=at_least_one,
            metavar="MB",
            help="Stop when the worker holds so much memory (with --processes: and start anew).",
        )
        add("--shutdown-timeout", type=seconds, help="Seconds that running tasks get to end (default: 30).")
        add("--worker-id", help="A name for this worker; each start adds its own suffix.")
        add(
            "--health-file", type=Path, metavar="PATH", help="A file to renew with each heartbeat, for liveness probes."
        )
        add("--no-scheduler", action="store_true", help="Leave schedules to other workers.")
        add("--reload", action="store_true", help="Start anew when the code changes (for development).")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run one worker, or a supervisor of several."""
        if options["verbosity"] > 0:
            _log_to_terminal(options["verbosity"])
        if options["reload"]:
            if not settings.DEBUG:
                raise CommandError("--reload is for development: it needs DEBUG = True.")
            autoreload.run_with_reloader(self._run, options)
        else:
            self._run(options)

    def _run(self, options: dict[str, Any]) -> None:
        expect_durable(options["backend"])
        _expect_queues(options["backend"], options["queue_name"])
        expect_tables(options["backend"])
        expect_usable_middleware()
        stop_signals = StopSignals()
        if options["processes"] > 1:
            supervisor = Supervisor(_single_process(sys.argv), options["processes"], restart=not options["batch"])
            stop_signals.direct_to(supervisor)
            sys.exit(supervisor.run())
        try:
            worker = self._worker(options)
        except ExecutorUnfit as error:
            raise CommandError(str(error)) from error
        if options["verbosity"] > 0:
            self.stderr.write(
                f"{worker.worker_id} serves {_queues(options)} on the database {worker.using!r}; stop it with Ctrl-C."
            )
        stop_signals.direct_to(worker)
        settle()
        try:
            worker.run()
        except ExecutorUnfit as error:
            raise CommandError(str(error)) from error
        # Threads of tasks that did not stop would keep the process alive; all that matters is written.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)

    def _worker(self, options: dict[str, Any]) -> Worker:
        config = get_options(options["backend"])
        chosen = WorkerSettings(
            queues=options["queue_name"],
            excluded_queues=tuple(options["exclude_queues"] or ()),
            concurrency=options["concurrency"] or config.concurrency,
            async_concurrency=options["async_concurrency"] or config.async_concurrency,
            process_concurrency=options["process_concurrency"] or config.process_concurrency,
            executor=options["executor"] or config.executor,
            poll_seconds=options["interval"] or config.poll_seconds,
            shutdown_seconds=options["shutdown_timeout"] or config.shutdown_seconds,
            batch=options["batch"],
            max_tasks=options["max_tasks"],
            max_memory_mb=options["max_memory"],
            name=options["worker_id"],
            health_file=options["health_file"],
            scheduler=not options["no_scheduler"],
        )
        return Worker(config, chosen)


def expect_durable(alias: str) -> None:
    """Raise CommandError for an alias under which nothing is ever enqueued for a worker."""
    if alias not in durable_aliases():
        known = ", ".join(map(repr, durable_aliases()))
        cure = (
            f"Give one of {known} by --backend."
            if known
            else f"Set TASKS = {{{alias!r}: {{'BACKEND': 'django_tasks_durable.DurableBackend'}}}}."
        )
        raise CommandError(f"TASKS[{alias!r}] is no DurableBackend, so there is nothing to run. {cure}")


def expect_usable_middleware() -> None:
    """Raise InvalidOptions before anything is claimed that could not be run."""
    for alias in durable_aliases():
        CHAINS[alias]
        if any(is_async(task) and task.backend == alias for task in registered().values()):
            ASYNC_CHAINS[alias]


def _single_process(arguments: list[str]) -> list[str]:
    """Return this command line for one process."""
    single, skip = [], False
    for argument in arguments:
        if skip:
            skip = False
        elif argument == "--processes":
            skip = True
        elif not argument.startswith("--processes="):
            single.append(argument)
    return single


def _queues(options: dict[str, Any]) -> str:
    served = ", ".join(options["queue_name"]) if options["queue_name"] else "all queues"
    excluded = f" except {', '.join(options['exclude_queues'])}" if options["exclude_queues"] else ""
    return served + excluded


def _expect_queues(alias: str, served: Sequence[str] | None) -> None:
    """Raise CommandError for a queue that no task can be in."""
    allowed = task_backends[alias].queues
    for name in served or ():
        if allowed and name not in allowed:
            raise CommandError(
                f"No task can be in the queue {name!r}. {nearest(name, sorted(allowed))} "
                f"Or add it to TASKS[{alias!r}]['QUEUES']; an empty list allows every name."
            )


def _log_to_terminal(verbosity: int) -> None:
    """Show the worker's own lines on a terminal whose project configures no logging for them."""
    logger = logging.getLogger("django_tasks_durable")
    if not logger.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG if verbosity > 1 else logging.INFO)
