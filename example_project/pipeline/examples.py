"""A DAG that is started and polled: stopped in the middle, saved, loaded and finished somewhere else."""

from __future__ import annotations

from collections.abc import Mapping
from io import StringIO
from typing import Any

from django.core.management import call_command

from django_tasks_durable import MemoryStore, export_snapshot, restore
from django_tasks_durable.testing import advance, drain, frozen
from example_project.examples import Example, Stage
from example_project.file_snapshots import FileSnapshots
from example_project.pipeline import tasks

CHAINS = {"a": ["a1", "a2", "a3"], "b": ["b1"], "c": ["c1", "c2", "c3"]}
EVERY_JOB = sorted(job for jobs in CHAINS.values() for job in jobs)


def dag(stage: Stage) -> Mapping[str, Any]:
    """Run chains of three, one and three jobs; stop after two polls, and go on from a file."""
    tasks.STARTED.clear()
    tasks.ASKED.clear()
    shelf = FileSnapshots(stage.directory / "pipelines")
    # The clock stands still and is moved by hand, so that nobody waits for the minutes between two polls.
    with frozen():
        result = tasks.pipeline.enqueue(CHAINS)
        drain()
        stage.say(f"  started: {', '.join(tasks.STARTED)}; a minute passes")
        advance(tasks.POLL_SECONDS)
        drain()
        stage.say(f"  started: {', '.join(tasks.STARTED)}; stopped here, and kept in a file")
        polls = {job: tasks.ASKED[job] for job in ("a1", "b1", "c1")}
        stage.expect("polls of the first jobs", polls, {"a1": 2, "b1": 2, "c1": 2})
        shelf.save("dag", export_snapshot(str(result.id)))
        call_command("tasks", "cancel", str(result.id), "--reason", "it goes on from its file", stdout=StringIO())

        store = MemoryStore()
        restore(shelf.load("dag")).into_memory(store, name="dag")
        ended = tasks.pipeline.stream(CHAINS, run_id="dag", store=store).result()
    stage.say(f"  started: {', '.join(tasks.STARTED)}")
    stage.expect("jobs, each started once", sorted(tasks.STARTED), EVERY_JOB)
    stage.expect("chains, each in its order", ended, CHAINS)
    return {"started": tasks.STARTED, "ended": ended}


EXAMPLES = [Example("dag", "chains of jobs are started and polled, stopped, saved, loaded and finished", dag)]
