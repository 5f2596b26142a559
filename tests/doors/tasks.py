"""Tasks that the doors know."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from django_tasks_durable import task
from django_tasks_durable.engine.context import DurableContext


@task
def greet(name: str) -> str:
    """Greet somebody."""
    return f"hello {name}"


@task
def publish(context: DurableContext, title: str) -> Generator[str, None, dict[str, Any]]:
    """Write, ask, and publish."""
    pages = context.step("write", len, title)
    context.progress(50, "written")
    context.log("All pages are written.", level="success")
    yield f"draft of {title}"
    answer = context.interrupt({"question": "Publish?", "choices": ["yes", "no"]})
    return {"pages": pages, "published": answer == "yes"}
