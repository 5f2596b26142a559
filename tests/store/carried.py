"""A task whose runs leave a bit of everything behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django_tasks_durable import task


def fail() -> None:
    """Fail with a cause."""
    try:
        raise KeyError("cause")
    except KeyError as cause:
        raise ValueError("no") from cause


@task
def traveller(context: Any, start: int) -> Iterator[Any]:
    """Do a step, handle a failure, tell two partials and ask."""
    yield ("begin", start)
    rows = context.step("load", dict, total=start)
    try:
        context.step("bad", fail)
    except ValueError as error:
        yield str(error)
    context.progress(50, "half")
    answer = context.interrupt({"question": "go on?"})
    return [rows, answer]
