"""Chains of jobs that somebody else runs: each is started once and then asked for until it has ended."""

from __future__ import annotations

from typing import Any

from django_tasks_durable import task
from django_tasks_durable.engine.context import DurableContext

POLL_SECONDS = 60
POLLS_NEEDED = 2

# The other side: which jobs were started, in order, and how often each has been asked for.
STARTED: list[str] = []
ASKED: dict[str, int] = {}


def start(job: str) -> str:
    """Start a job on the other side; it says under which number."""
    STARTED.append(job)
    return f"{job}@{len(STARTED)}"


def status(job: str) -> str | None:
    """Ask how a job is doing; it has ended when it is asked for the second time."""
    ASKED[job] = ASKED.get(job, 0) + 1
    return "done" if ASKED[job] >= POLLS_NEEDED else None


@task
def chain(context: DurableContext, jobs: list[str]) -> list[str]:
    """Run jobs one after the other."""
    ended = []
    for job in jobs:
        number = context.step(f"start {job}", start, job)
        context.poll(f"poll {job}", status, job, every=POLL_SECONDS)
        ended.append(number.partition("@")[0])
    return ended


@task
def pipeline(context: DurableContext, chains: dict[str, list[str]]) -> dict[str, Any]:
    """Run chains side by side, each as far as it comes, and end when all have ended."""
    ended: dict[str, Any] = context.gather({name: chain.bind(jobs) for name, jobs in chains.items()})
    return ended
