"""The words a run's life is told in, and the moves between them."""

from __future__ import annotations

from django.db import models
from django.utils.translation import pgettext_lazy


class RunStatus(models.TextChoices):
    """Where a run stands. The four of Django's TaskResultStatus keep Django's names."""

    READY = "READY", pgettext_lazy("Task", "Ready")
    CLAIMED = "CLAIMED", pgettext_lazy("Task", "Claimed")
    RUNNING = "RUNNING", pgettext_lazy("Task", "Running")
    WAITING = "WAITING", pgettext_lazy("Task", "Waiting")
    SUCCESSFUL = "SUCCESSFUL", pgettext_lazy("Task", "Successful")
    FAILED = "FAILED", pgettext_lazy("Task", "Failed")
    CANCELLED = "CANCELLED", pgettext_lazy("Task", "Cancelled")


class StepKind(models.TextChoices):
    """What one line of a run's timeline tells."""

    ENQUEUED = "enqueued", pgettext_lazy("Step", "Enqueued")
    CLAIMED = "claimed", pgettext_lazy("Step", "Claimed")
    STARTED = "started", pgettext_lazy("Step", "Started")
    STEP = "step", pgettext_lazy("Step", "Step")
    COMPENSATED = "compensated", pgettext_lazy("Step", "Compensation")
    MIGRATED = "migrated", pgettext_lazy("Step", "Led to newer code")
    PATCHED = "patched", pgettext_lazy("Step", "Change of code")
    LOG = "log", pgettext_lazy("Step", "Log")
    EVENT = "event", pgettext_lazy("Step", "Event")
    CHECKPOINT = "checkpoint", pgettext_lazy("Step", "Checkpoint")
    CUSTOM = "custom", pgettext_lazy("Step", "Custom")
    PARTIAL = "partial", pgettext_lazy("Step", "Partial result")
    WAITING = "waiting", pgettext_lazy("Step", "Waiting")
    SLEEPING = "sleeping", pgettext_lazy("Step", "Sleeping")
    RESUMED = "resumed", pgettext_lazy("Step", "Resumed")
    RETRIED = "retried", pgettext_lazy("Step", "Will be retried")
    SUCCEEDED = "succeeded", pgettext_lazy("Step", "Succeeded")
    FAILED = "failed", pgettext_lazy("Step", "Failed")
    CANCELLED = "cancelled", pgettext_lazy("Step", "Cancelled")
    CANCEL_REQUESTED = "cancel_requested", pgettext_lazy("Step", "Cancel requested")
    STALE = "stale", pgettext_lazy("Step", "Worker lost")
    STALLED = "stalled", pgettext_lazy("Step", "No progress")
    RELEASED = "released", pgettext_lazy("Step", "Given back")
    MESSAGE = "message", pgettext_lazy("Step", "Message")
    AUDIT = "audit", pgettext_lazy("Step", "Operator")
    TRANSITION = "transition", pgettext_lazy("Step", "Transition")


class Level(models.TextChoices):
    """How much a timeline line matters."""

    DEBUG = "debug", pgettext_lazy("Level", "Debug")
    INFO = "info", pgettext_lazy("Level", "Info")
    SUCCESS = "success", pgettext_lazy("Level", "Success")
    WARN = "warn", pgettext_lazy("Level", "Warning")
    ERROR = "error", pgettext_lazy("Level", "Error")
    CUSTOM = "custom", pgettext_lazy("Level", "Custom")


class CheckpointKind(models.TextChoices):
    """Which primitive left a checkpoint behind."""

    STEP = "step", pgettext_lazy("Checkpoint", "Step")
    TRY = "try", pgettext_lazy("Checkpoint", "Failed try of a step")
    SLEEP = "sleep", pgettext_lazy("Checkpoint", "Sleep")
    WAIT = "wait", pgettext_lazy("Checkpoint", "Wait")
    CALL = "call", pgettext_lazy("Checkpoint", "Nested call")
    UNDOABLE = "undoable", pgettext_lazy("Checkpoint", "Step that can be undone")
    UNDO = "undo", pgettext_lazy("Checkpoint", "Compensation")
    PATCH = "patch", pgettext_lazy("Checkpoint", "Change of code")
    SPAWN = "spawn", pgettext_lazy("Checkpoint", "Child started")
    JOIN = "join", pgettext_lazy("Checkpoint", "Child ended")
    STREAM = "stream", pgettext_lazy("Checkpoint", "Place in a child's stream")
    POLL = "poll", pgettext_lazy("Checkpoint", "Poll")


class WakeReason(models.TextChoices):
    """Why a READY run is not being run right now, or what woke it."""

    NONE = "", pgettext_lazy("Wake", "none")
    SLEEP = "sleep", pgettext_lazy("Wake", "sleeping")
    RETRY = "retry", pgettext_lazy("Wake", "retrying")
    STEP_RETRY = "step_retry", pgettext_lazy("Wake", "retrying a step")
    MESSAGE = "message", pgettext_lazy("Wake", "answered")
    DEADLINE = "deadline", pgettext_lazy("Wake", "deadline passed")
    OPERATOR = "operator", pgettext_lazy("Wake", "operator")
    STALE = "stale", pgettext_lazy("Wake", "worker lost")
    RELEASED = "released", pgettext_lazy("Wake", "given back")
    VERSION = "version", pgettext_lazy("Wake", "for another version of the code")
    CHILD = "child", pgettext_lazy("Wake", "news of a child")
    POLL = "poll", pgettext_lazy("Wake", "polling")


class State(models.TextChoices):
    """The derived state that people see: the status, told with the reason a run is waking for."""

    QUEUED = "queued", pgettext_lazy("State", "Queued")
    CLAIMED = "claimed", pgettext_lazy("State", "Claimed")
    RUNNING = "running", pgettext_lazy("State", "Running")
    RETRYING = "retrying", pgettext_lazy("State", "Retrying")
    WAITING = "waiting", pgettext_lazy("State", "Waiting")
    SUCCEEDED = "succeeded", pgettext_lazy("State", "Succeeded")
    FAILED = "failed", pgettext_lazy("State", "Failed")
    CANCELLED = "cancelled", pgettext_lazy("State", "Cancelled")
    STALE = "stale", pgettext_lazy("State", "Stale")


LEASED = frozenset({RunStatus.CLAIMED, RunStatus.RUNNING})
FINISHED = frozenset({RunStatus.SUCCESSFUL, RunStatus.FAILED, RunStatus.CANCELLED})
OPEN = frozenset(RunStatus) - FINISHED
# Lines that a long timeline may do without: no replay reads them and no audit asks for them.
TRIMMABLE = frozenset({StepKind.LOG, StepKind.CUSTOM})
RETRIABLE = frozenset({RunStatus.FAILED, RunStatus.CANCELLED})

# A sleep, or the pause before the next try or poll, ends when the code said: woken early, the run would only suspend again.
UNHURRIED = frozenset({WakeReason.SLEEP, WakeReason.STEP_RETRY, WakeReason.POLL})

# A batch may carry "started" and its outcome together, so a claimed run may end without RUNNING ever being stored.
TRANSITIONS: dict[RunStatus, frozenset[RunStatus]] = {
    RunStatus.READY: frozenset({RunStatus.CLAIMED, RunStatus.CANCELLED}),
    RunStatus.CLAIMED: frozenset(
        {
            RunStatus.RUNNING,
            RunStatus.READY,
            RunStatus.WAITING,
            RunStatus.SUCCESSFUL,
            RunStatus.FAILED,
            RunStatus.CANCELLED,
        }
    ),
    RunStatus.RUNNING: frozenset(
        {RunStatus.READY, RunStatus.WAITING, RunStatus.SUCCESSFUL, RunStatus.FAILED, RunStatus.CANCELLED}
    ),
    RunStatus.WAITING: frozenset({RunStatus.READY, RunStatus.CANCELLED}),
    RunStatus.SUCCESSFUL: frozenset(),
    RunStatus.FAILED: frozenset({RunStatus.READY}),
    RunStatus.CANCELLED: frozenset({RunStatus.READY}),
}


def may_move(before: RunStatus, after: RunStatus) -> bool:
    """Tell whether a run may go from one status to the other."""
    return after in TRANSITIONS[before]


def derive_state(status: str, wake_reason: str, *, is_due: bool, is_stalled: bool = False) -> State:
    """Derive the state that people see from what is stored.

    ``is_due`` tells whether the run may be claimed now (its ``due_at`` has passed), ``is_stalled`` whether its attempt gives no
    sign of going on.
    """
    match RunStatus(status):
        case RunStatus.READY if wake_reason == WakeReason.STALE:
            return State.STALE
        case RunStatus.RUNNING if is_stalled:
            return State.STALE
        case RunStatus.READY if wake_reason == WakeReason.RETRY:
            return State.RETRYING
        case RunStatus.READY if wake_reason in UNHURRIED and not is_due:
            return State.WAITING
        case RunStatus.READY:
            return State.QUEUED
        case RunStatus.SUCCESSFUL:
            return State.SUCCEEDED
        case other:
            return State(other.value.lower())
