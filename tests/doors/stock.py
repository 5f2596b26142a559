"""Tasks made by the framework's own decorator, as a project has them that knows nothing of us."""

from __future__ import annotations

from typing import Any

from django_tasks_durable.compat import HAS_CORE_TASKS

if HAS_CORE_TASKS:
    from django.tasks import task
else:
    from django_tasks import task


@task
def double(number: int) -> int:
    """Return twice a number."""
    return number * 2


@task(priority=7, queue_name="reports")
def report() -> str:
    """Return a text."""
    return "done"


@task(takes_context=True)
def who_am_i(context: Any) -> dict[str, Any]:
    """Return what the context says."""
    result = context.task_result
    return {"id": result.id, "attempt": context.attempt, "status": str(result.status), "args": result.args}


@task
async def adouble(number: int) -> int:
    """Return twice a number, on the event loop."""
    return number * 2


@task
def fails(message: str) -> None:
    """Raise."""
    raise LookupError(message)


@task
def exits() -> None:
    """Leave the program."""
    raise SystemExit(3)


@task
def returns_a_function() -> Any:
    """Return what cannot be stored."""
    return lambda: 0


def of_another_backend() -> str:
    """Become a task of another backend, in a test that has one."""
    return "moved"
