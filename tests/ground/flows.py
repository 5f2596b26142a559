"""A flow with a node of each type."""

from __future__ import annotations

from typing import Any

EVERY_NODE: dict[str, Any] = {
    "format": 1,
    "name": "every-node",
    "description": "One of each.",
    "queue_name": "flows",
    "state": {"plan": "str", "seen": {"type": "list", "default": [1], "description": "What was seen."}},
    "nodes": [
        {"type": "start", "name": "start", "to": "look up"},
        {
            "type": "task",
            "name": "look up",
            "method": "find",
            "description": "Find it.",
            "params": {"plan": "state.plan", "limit": 3, "options": {"deep": [True, None, 1.5], "seen": "state.seen"}},
            "result": "state.tries",
            "max_attempts": 2,
            "timeout": "1 minute",
            "atomic": True,
            "to": "which plan",
        },
        {
            "type": "switch",
            "name": "which plan",
            "on": "state.plan",
            "cases": [{"is": "pro", "to": "again"}, {"is": "free", "to": "the end"}],
            "else": "sendMail",
        },
        {"type": "loop", "name": "again", "while": "state.tries < 3", "do": "pause", "to": "asked"},
        {"type": "wait", "name": "pause", "for": "1 week 2 hours", "to": "sendMail"},
        {"type": "task", "name": "sendMail", "to": "again"},
        {
            "type": "event",
            "name": "asked",
            "request": {"plan": "state.plan"},
            "timeout": 90,
            "on_timeout": "the end",
            "result": "state.answer",
            "to": "is it yes",
        },
        {
            "type": "condition",
            "name": "is it yes",
            "if": "state.answer == 'yes' and not (state.plan in ['a', 'b'] or state.tries >= 7)",
            "then": "the end",
            "else": "other end",
        },
        {"type": "end", "name": "the end"},
        {"type": "end", "name": "other end"},
    ],
}
