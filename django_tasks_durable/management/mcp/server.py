"""The server that an assistant starts and speaks to over a pipe. All of the protocol is the SDK's (extra ``mcp``)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from django.db import close_old_connections
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

from django_tasks_durable import __version__
from django_tasks_durable.exceptions import DurableError

from .desk import Desk, Told

NAME = "django-tasks-durable"
LOOKING = ToolAnnotations(read_only_hint=True, open_world_hint=False)
ANSWERING = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False)


def server(desk: Desk, *, allows_answers: bool) -> MCPServer:
    """Return the server of a desk; without ``allows_answers`` it has no tool that changes anything."""
    made = MCPServer(name=NAME, version=__version__, instructions=_said(desk, allows_answers=allows_answers))

    @made.tool(annotations=LOOKING)
    async def list_tasks(state: str = "", task: str = "", queue: str = "", limit: int = 20) -> Told:
        """List background tasks, the newest first, at most 100.

        `state` is queued, claimed, running, retrying, waiting, succeeded, failed, cancelled or stale; `task` is the beginning of
        a task's path; `queue` the name of a queue.
        """
        return await _asked(partial(desk.list_tasks, state=state, task=task, queue=queue, limit=limit))

    @made.tool(annotations=LOOKING)
    async def show_task(task_id: str, lines: int = 50) -> Told:
        """Show one task: its errors, its steps, the last `lines` of its timeline (200 at most) and its open questions."""
        return await _asked(partial(desk.show_task, task_id, lines=lines))

    @made.tool(annotations=LOOKING)
    async def list_questions(limit: int = 20) -> Told:
        """List the questions that tasks wait with, the oldest first, at most 100."""
        return await _asked(partial(desk.list_questions, limit=limit))

    if allows_answers:

        @made.tool(annotations=ANSWERING)
        async def answer_question(task_id: str, answer: dict[str, Any], path: str = "") -> Told:
            """Answer a question of a task, for good: the first answer stands.

            `answer` is an object with one key: `{"value": "yes"}`. `path` says which question, where the task has several.
            """
            return await _asked(lambda: desk.answer_question(task_id, _value(answer), path=path))

    return made


def _said(desk: Desk, *, allows_answers: bool) -> str:
    acts = "You may answer their questions in that person's name." if allows_answers else "You can change nothing."
    return f"Background tasks of a Django project, as {desk.name!r} may see them. {acts}"


def _value(answer: dict[str, Any]) -> Any:
    # Inside an object: the SDK takes a text that is JSON for what it says, wherever a parameter may be more than a text.
    if set(answer) != {"value"}:
        keys = ", ".join(sorted(answer)) or "nothing"
        raise ValueError(f'Give the answer as {{"value": ...}}, with any JSON in it; this has {keys}.')
    return answer["value"]


async def _asked(look: Callable[[], Told]) -> Told:
    try:
        return await sync_to_async(_with_a_living_connection, thread_sensitive=True)(look)
    except (DurableError, ValueError) as refused:
        raise ToolError(str(refused)) from refused


def _with_a_living_connection(look: Callable[[], Told]) -> Told:
    # Nothing else of this process ends the connections that have been idle for too long, as a request does.
    close_old_connections()
    try:
        return look()
    finally:
        close_old_connections()
