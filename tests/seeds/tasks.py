"""Tasks that go through a database, so that each of their slices reads everything anew."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any
from uuid import UUID

from django_tasks_durable import Backoff, get_context, task
from django_tasks_durable.engine.context import DurableContext
from tests.probe.journal import deed

AT_ONCE = Backoff(first=0, jitter=0)


@task
def guess(context: DurableContext, secret: int) -> list[int]:
    """Ask for a number until it is the right one; return the answers."""
    answers: list[int] = []
    while secret not in answers:
        deed("iteration", answers=len(answers))
        answers.append(context.wait("guess", {"tries": len(answers)}))
        context.step("compare", deed, "compare", answer=answers[-1])
    return answers


@task
def three_values(context: DurableContext) -> list[int]:
    """Compute three values in a loop, the last one not at the first attempt."""
    return [context.step(f"value_{number}", _value, number) for number in range(3)]


def _value(number: int) -> int:
    deed("value", number=number)
    if number == 2 and get_context().attempt == 1:
        raise OSError("not yet")
    return number * 10


@task
def onboard(context: DurableContext, name: str) -> dict[str, Any]:
    """Write to somebody, wait for the confirmation, and welcome them the day after."""
    letter = context.step("letter", _letter, name)
    confirmed = context.wait("confirm", {"name": name})
    context.sleep("a day", days=1)
    return {"letter": letter, "confirmed": confirmed}


def _letter(name: str) -> str:
    deed("letter", person=name)
    return f"Dear {name}"


@task
def starts_another(depth: int) -> None:
    """Enqueue the next one."""
    deed("started", depth=depth)
    if depth:
        starts_another.enqueue(depth - 1)


@task
def fails_after_partials(context: DurableContext) -> Iterator[str]:
    """Tell two things and fail at the first attempt; then tell one more."""
    yield "one"
    context.step("between", deed, "between")
    yield "two"
    if context.attempt == 1:
        raise ValueError("ouch")
    yield "three"


@task
def looks_at_itself(context: DurableContext) -> list[int]:
    """Count the checkpoints that the database holds after each of three steps."""
    return [context.step(f"step {number}", _count, context.run_id) for number in range(3)]


def _count(run_id: UUID) -> int:
    from django_tasks_durable.models import Checkpoint

    return Checkpoint.objects.filter(run_id=run_id).count()


@task(backoff=AT_ONCE)
def always_fails() -> None:
    """Fail at each attempt."""
    deed("attempt")
    raise ValueError("never")


@task(max_attempts=3)
def has_own_limit() -> None:
    """Say itself how often it may be tried."""


@task
def says_nothing() -> None:
    """Leave the limits to the settings."""


@task
def reports(context: DurableContext) -> str:
    """Say how far it is, and end."""
    context.progress(40, "reading", page=2)
    context.log("read", level="success")
    return "done"


# --- chains that are started once and asked about again and again

#: How often each part of a chain was started and asked about, and what it answers: by its name.
PARTS: dict[str, dict[str, Any]] = {}


def start_part(name: str) -> str:
    """Start one part of a chain somewhere else."""
    PARTS[name]["started"] += 1
    return f"ticket {name}"


def status_of(name: str) -> str | None:
    """Ask how far a part is; None while it is under way."""
    part = PARTS[name]
    part["asked"] += 1
    if part["asked"] < part["polls"]:
        return None
    if part.get("breaks"):
        raise RuntimeError(f"{name} broke")
    return f"{name} ended"


@task
def chains(context: DurableContext, plan: dict[str, list[str]]) -> dict[str, list[str]]:
    """Run chains side by side, the parts of each one after the other; tell all that broke as one error."""

    def chain(context: DurableContext, names: list[str]) -> list[str]:
        ends = []
        for name in names:
            context.step(f"start {name}", start_part, name)
            ends.append(context.poll(f"status {name}", status_of, name, every=30))
        return ends

    branches = {name: partial(chain, names=names) for name, names in plan.items()}
    ends: dict[str, Any] = context.gather(branches, return_exceptions=True)
    broken = [end for end in ends.values() if isinstance(end, Exception)]
    if broken:
        raise ExceptionGroup("chains", broken)
    return ends


TURNS: list[str] = []


@task
def patient(context: DurableContext, name: str, pauses: int) -> str:
    """Have something to do in several turns, and let others have theirs in between."""
    for number in range(pauses):
        context.step(f"turn {number}", TURNS.append, name)
        context.pause()
    return f"{name} ended"


@task
def tells_progress(context: DurableContext) -> list[dict[str, Any]]:
    """Say how far it is in several ways, and return what others then saw of it."""
    context.progress(250, "begun", page=1)
    seen = [_look(context)]
    context.progress(page=2)
    seen.append(_look(context))
    context.progress(-5, None)
    seen.append(_look(context))
    context.progress(30, label="on", meta={"row": 3})
    seen.append(_look(context))
    context.progress(meta=None)
    seen.append(_look(context))
    return seen


def _look(context: DurableContext) -> dict[str, Any]:
    context.step("commit", int)  # progress waits for nobody: it goes with the next checkpoint
    return context.step("look", _progress_of, context.run_id)


def _progress_of(run_id: UUID) -> dict[str, Any]:
    from django_tasks_durable.snapshots import read

    return read.one(run_id, using="default").progress.as_dict()


@task
def tells_lines(context: DurableContext) -> float:
    """Write lines of several kinds, and return how far others then saw the run."""
    context.log()
    context.log("half", kind="checkpoint", level="success", percent=50, page=1)
    context.log("own", kind="custom", level="custom", page=2)
    context.log("slow", kind="event", level="warning", page=3)
    told = _look(context)
    return float(told["percent"])
