"""A report that two people want at once: it is made once, and both can watch it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection

from django_tasks_durable import channel, signals
from django_tasks_durable.backend.results import DurableTaskResult
from django_tasks_durable.snapshots import read
from django_tasks_durable.snapshots.bootstrap import TaskQuery, bootstrap
from django_tasks_durable.snapshots.entries import Entry
from django_tasks_durable.snapshots.shapes import RunSnapshot
from django_tasks_durable.testing import drain
from example_project.airports.demo.workers import Children
from example_project.examples import Example, ExampleFailed, Stage
from example_project.reports import tasks

REPORT = "rpt_42"
KEY = f"report:{REPORT}"
LOOK_SECONDS = 0.05
PATIENCE_SECONDS = 60.0
# Nobody is killed here, and child processes take their time to start on a busy machine.
LEASE = {"LEASE_SECONDS": "30"}


def reports(stage: Stage) -> Mapping[str, Any]:
    """Ask for a report twice, let it be made once, watch it, and look at what is left."""
    call: Any = tasks.generate_report.using(dedupe_key=KEY, channels=[channel.resource(KEY)])
    first, second = call.enqueue(REPORT), call.enqueue(REPORT)
    stage.expect("the second call", second.disposition, "reused")
    stage.expect("it found the same task", second.id, first.id)
    is_here = connection.vendor == "sqlite"
    stage.say(f"  it is made {'in this process' if is_here else 'in a child process of a worker beside this one'}")
    seen = _made_here(stage) if is_here else _made_elsewhere(stage, first)
    stage.expect("what was seen never went back", seen, sorted(seen))
    run = _look_back(stage, first.id)
    stage.expect("the result", run.result, {"report": REPORT, "rows": 24, "pages": tasks.PAGES})
    third = call.enqueue(REPORT)
    stage.expect("a third call, now that it is done", third.disposition, "created")
    third.cancel("nobody wants it")
    return {"task": first.id, "progress": seen, "result": run.result, "took": run.run_seconds}


def _look_back(stage: Stage, run_id: str) -> RunSnapshot:
    """Find the report as a page would, by its channel, and read its timeline."""
    query = TaskQuery(channels=[channel.resource(KEY)], ids=[UUID(run_id)])
    shown = bootstrap(query, using="default", steps=50)
    (run,) = shown.runs
    lines = shown.lines[run.id]
    # A worker that is lost, or thought lost, may leave a line twice; what it remembers is not done twice.
    told = list(dict.fromkeys(line.percent for line in lines if line.percent is not None))
    stage.expect("progress", told, [10.0, 30.0, *(30.0 + 10 * page for page in range(1, tasks.PAGES + 1)), 100.0])
    steps = [line for line in lines if line.message == "Source downloaded"]
    stage.expect("its step line", [(line.kind.value, line.level.value) for line in steps], [("step", "success")])
    stage.expect("the last line", lines[-1].kind.value, "succeeded")
    stage.expect("its channels", run.channels[2:], (f"dedupe:{KEY}", f"resource:{KEY}"))
    return run


def _made_here(stage: Stage) -> list[float]:
    """Run what is due on this thread, and hear of it as a receiver of signals does."""
    seen: list[float] = []

    def hear(entry: Entry, **kwargs: Any) -> None:
        if entry.percent is not None and entry.percent not in seen:
            seen.append(entry.percent)
            stage.say(f"  {entry.type}: {entry.percent:.0f} % {entry.message}")

    signals.lifecycle.connect(hear)
    try:
        drain()
    finally:
        signals.lifecycle.disconnect(hear)
    return seen


def _made_elsewhere(stage: Stage, result: DurableTaskResult) -> list[float]:
    """Start a worker that runs tasks in child processes, and look how far it is, as a page that polls does."""
    seen: list[float] = []
    manage = str(Path(settings.BASE_DIR) / "manage.py")
    until = time.monotonic() + PATIENCE_SECONDS
    with Children(stage.directory) as children:
        worker = children.start(
            "worker", manage, "runtasks", "--queue-name", tasks.QUEUE, "--executor", "process", environment=LEASE
        )
        while not (run := _run(result)).is_finished:
            _tell(stage, run, seen)
            worker.must_be_alive()
            if time.monotonic() > until:
                raise ExampleFailed(f"The report was not made in {PATIENCE_SECONDS:.0f} s.\n{worker.tail()}")
            time.sleep(LOOK_SECONDS)
        _tell(stage, run, seen)
    stage.expect("the worker's process is another one", f"-{worker.pid}-" in run.lease_worker, True)
    return seen


def _tell(stage: Stage, run: RunSnapshot, seen: list[float]) -> None:
    if run.percent is not None and run.percent not in seen:
        seen.append(run.percent)
        stage.say(f"  {run.percent:.0f} % {run.progress.label}")


def _run(result: DurableTaskResult) -> RunSnapshot:
    return read.one(result.id, using="default")


EXAMPLES = [Example("reports", "a report that two people want is made once, and both watch it", reports)]
