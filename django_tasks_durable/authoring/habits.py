"""What people type who come from another library, and what it is called here."""

from __future__ import annotations

from django_tasks_durable.compat import Task

OPTIONS = {
    "retries": "max_attempts",
    "max_retries": "max_attempts",
    "retry": "max_attempts",
    "autoretry_for": "max_attempts",
    "retry_backoff": "backoff",
    "default_retry_delay": "backoff",
    "retry_delay": "backoff",
    "time_limit": "timeout",
    "soft_time_limit": "timeout",
    "queue": "queue_name",
    "countdown": "run_after",
    "eta": "run_after",
    "delay": "run_after",
    "schedule_in": "run_after",
    "schedule_at": "run_after",
    "rate_limit": "rate",
    "lock": "concurrency_key",
    "unique": "dedupe_key",
    "queueing_lock": "dedupe_key",
    "result_ttl": "retention",
    "cron": "schedule",
    "periodic": "schedule",
}
METHODS = {
    "delay": "enqueue(...)",
    "adelay": "aenqueue(...)",
    "send": "enqueue(...)",
    "defer": "enqueue(...)",
    "defer_async": "aenqueue(...)",
    "apply_async": "using(...).enqueue(...)",
    "send_with_options": "using(...).enqueue(...)",
    "configure": "using(...)",
    "s": "bind(...)",
    "si": "bind(...)",
    "apply": "call(...)",
}
CONTEXTS = frozenset({"ctx", "self"})


def option(name: str) -> str:
    """Say what an option of this name is called here; nothing when it is nobody's."""
    return f"Here it is {OPTIONS[name]!r}." if name in OPTIONS else ""


def unmet_context(task: Task[..., object]) -> str:
    """Return the first argument's name of a task that seems to expect a context under it, and gets none."""
    code = getattr(task.func, "__code__", None)
    first: str = code.co_varnames[0] if code is not None and code.co_argcount else ""
    return first if first in CONTEXTS and not task.takes_context else ""
