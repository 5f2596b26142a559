"""The words of a context, which every workflow has as its own."""

from __future__ import annotations

# The engine stands on a higher floor and cannot be asked; a test compares them.
OF_A_CONTEXT = frozenset(
    [
        "aapproval",
        "aapproval_url",
        "acall",
        "agather",
        "ainterrupt",
        "ajoin",
        "apause",
        "apoll",
        "approval",
        "approval_url",
        "arecv",
        "asleep",
        "aspawn",
        "astep",
        "attempt",
        "await_",
        "await_event",
        "awebhook",
        "awebhook_url",
        "call",
        "cancelled",
        "finish",
        "gather",
        "idempotency_key",
        "interrupt",
        "join",
        "log",
        "max_attempts",
        "metadata",
        "patched",
        "pause",
        "poll",
        "progress",
        "recv",
        "sleep",
        "spawn",
        "step",
        "suspending",
        "task_path",
        "task_result",
        "wait",
        "wait_event",
        "webhook",
        "webhook_url",
    ]
)
ALIASES = {"action": "step", "aaction": "astep"}
