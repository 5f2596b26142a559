"""Every error of this package, each named for what is wrong and saying what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID


class DurableError(Exception):
    """The base of this package's errors. Do not raise directly."""

    code = "DURABLE"


class NotSerializable(DurableError, TypeError):
    """A value cannot be stored as JSON. ``path`` says where in the value."""

    code = "NOT_SERIALIZABLE"

    def __init__(self, path: str, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{path} cannot be stored: {problem}")


class Unreadable(DurableError, ValueError):
    """A stored value cannot be made again in this process."""

    code = "UNREADABLE"

    def __init__(self, tag: str, problem: str) -> None:
        self.tag, self.problem = tag, problem
        super().__init__(f"A stored {tag} cannot be read: {problem}")


class FileChanged(DurableError):
    """The file of a ``FileRef`` is not what was stored."""

    code = "FILE_CHANGED"

    def __init__(self, name: str, storage: str) -> None:
        self.name, self.storage = name, storage
        super().__init__(
            f"The file {name!r} in the storage {storage!r} is not the one that was stored: its SHA-256 differs."
        )


class PayloadTooLarge(DurableError):
    """A value is larger than the limit that the settings give it."""

    code = "PAYLOAD_TOO_LARGE"

    def __init__(self, path: str, size: int, limit: int) -> None:
        self.path, self.size, self.limit = path, size, limit
        super().__init__(
            f"{path} takes {size:,} bytes as JSON, the limit is {limit:,}. "
            "Store it as a file and pass a FileRef, or raise OPTIONS['max_payload_bytes']."
        )


class RunTooLong(DurableError):
    """A run has written as much as the settings let one run write; what it did is kept, and it is not retried by itself."""

    code = "RUN_TOO_LONG"

    def __init__(self, option: str, written: int, limit: int, path: str) -> None:
        self.option, self.written, self.limit, self.path = option, written, limit, path
        what = option.rpartition("_")[2]
        super().__init__(
            f"The run has written {written:,} {what} and one run may write {limit:,}, so {path!r} is not begun. If its body "
            "never ends, mend it; else split the work into children. Its checkpoints are kept: to go on from here, raise "
            f"OPTIONS[{option!r}] and retry the run."
        )


class Drift(DurableError):
    """The code asks for something else than what the run's history holds at this place.

    ``history`` is the recorded order around the place, as text.
    """

    code = "DRIFT"

    def __init__(self, scope: str, position: int, expected: str, found: str, history: str = "") -> None:
        self.scope, self.position, self.expected, self.found = scope, position, expected, found
        self.history = history
        where = f"scope {scope!r}" if scope else "the task"
        around = f"\n  the history: {history}\n" if history else " "
        super().__init__(
            f"Place {position} of {where}: the history has {expected!r}, the code now asks for {found!r}.{around}"
            "Nothing was run. Bring the old code back and retry the run, ask context.patched() where the new code branches "
            "off, give the task a version with a migration, or fork the run."
        )


class SuspensionSwallowed(DurableError):
    """The body went on although a primitive had suspended it."""

    code = "SUSPENSION_SWALLOWED"

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(
            f"The wait at {path!r} suspended the run, but the body caught that and went on. "
            "Do not catch BaseException around a primitive without raising it again."
        )


class SuspendInAtomic(DurableError):
    """A primitive that waits was used inside an open transaction."""

    code = "SUSPEND_IN_ATOMIC"

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(
            f"{path!r} would suspend the run inside an open transaction.atomic() block, which would roll back or stay open "
            "for as long as the run waits. Move the wait out of the block."
        )


class ConcurrentScope(DurableError):
    """Two primitives were in use at once in one scope."""

    code = "CONCURRENT_SCOPE"

    def __init__(self, busy: str, asked: str) -> None:
        self.busy, self.asked = busy, asked
        super().__init__(
            f"{asked!r} was asked for while {busy!r} was still under way in the same scope, so their order would be chance. "
            "Use context.gather() to run things side by side; the function of a step cannot wait or remember."
        )


class InsideAtomicStep(DurableError):
    """A primitive was used inside an atomic step."""

    code = "INSIDE_ATOMIC_STEP"

    def __init__(self, outer: str, asked: str) -> None:
        self.outer, self.asked = outer, asked
        super().__init__(
            f"{asked!r} was asked for inside the atomic step {outer!r}. Only progress() and log() may be used there."
        )


class NonRetryable(DurableError):
    """Raise this, or a subclass, to fail a run at once whatever attempts are left."""

    code = "NON_RETRYABLE"


class StepFailed(DurableError):
    """A step failed in an earlier slice; its own exception class is not at hand any more."""

    code = "STEP_FAILED"

    def __init__(self, message: str, exception_class_path: str = "") -> None:
        self.exception_class_path = exception_class_path
        super().__init__(message)


class UnknownTask(DurableError):
    """No task of this name is registered in this process."""

    code = "UNKNOWN_TASK"

    def __init__(self, task_path: str) -> None:
        self.task_path = task_path
        super().__init__(
            f"No task named {task_path!r} is registered here. Is its app in INSTALLED_APPS, and is it in a tasks.py?"
        )


class InvalidCall(DurableError, TypeError):
    """A task was called from outside with arguments that it does not take."""

    code = "INVALID_CALL"

    def __init__(self, task_path: str, problem: str) -> None:
        self.task_path, self.problem = task_path, problem
        super().__init__(f"{task_path} does not take these arguments: {problem}.")


class NotIdempotent(DurableError):
    """A call from outside has a key, but its task is one of Django's own, which takes none."""

    code = "NOT_IDEMPOTENT"

    def __init__(self, task_path: str) -> None:
        self.task_path = task_path
        super().__init__(f"{task_path} takes no Idempotency-Key: it is made by Django's @task, not by ours.")


class InvalidCursor(DurableError, ValueError):
    """A cursor was changed on its way, or signed with a key that this site does not know."""

    code = "INVALID_CURSOR"

    def __init__(self, cursor: str) -> None:
        self.cursor = cursor
        super().__init__(f"The cursor {cursor[:80]!r} is none of ours. Begin again without one.")


class UnknownWord(DurableError, LookupError):
    """A run has no command or query of this name that can be called here. ``known`` are those that there are."""

    code = "UNKNOWN_WORD"

    def __init__(self, kind: str, name: str, known: list[str]) -> None:
        self.kind, self.name, self.known = kind, name, known
        super().__init__(f"This task has no {kind} {name!r} here. There are {', '.join(known) or 'none'}.")


class CommandFailed(DurableError):
    """A command or a query of a workflow raised; a command that raises changes nothing."""

    code = "COMMAND_FAILED"

    def __init__(self, name: str, cause: Exception) -> None:
        self.name, self.cause = name, cause
        super().__init__(f"{name}() raised {type(cause).__name__}: {cause}")


class InvalidSchedule(DurableError, ValueError):
    """A schedule cannot be as it is written. ``field`` names the part that is wrong."""

    code = "INVALID_SCHEDULE"

    def __init__(self, field: str, value: object, problem: str) -> None:
        self.field, self.value, self.problem = field, value, problem
        super().__init__(f"{field}={value!r}: {problem}")


class ScheduleNotFound(DurableError, LookupError):
    """There is no schedule of this name."""

    code = "SCHEDULE_NOT_FOUND"

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"There is no schedule {name!r}. `manage.py tasks schedules list` shows those that there are.")


class TooManyTicks(DurableError, ValueError):
    """A backfill would enqueue more runs than it may at once."""

    code = "TOO_MANY_TICKS"

    def __init__(self, name: str, limit: int) -> None:
        self.name, self.limit = name, limit
        super().__init__(
            f"The range holds more than {limit:,} ticks of {name!r}. Nothing was enqueued. Fill it in smaller parts."
        )


class RunNotFound(DurableError, LookupError):
    """There is no run of this id, or not for this user."""

    code = "NOT_FOUND"

    def __init__(self, run_id: UUID | str) -> None:
        self.run_id = run_id
        super().__init__(f"There is no task run {run_id}.")


class NotWaiting(DurableError):
    """An answer was given to a run, or under a token, that waits for nothing."""

    code = "NOT_WAITING"

    def __init__(self, run_id: UUID | str, state: str, token: str | None = None) -> None:
        self.run_id, self.state, self.token = run_id, state, token
        what = f"has no pending wait with the token {token!r}" if token else "does not wait for an answer"
        super().__init__(f"Run {run_id} {what}: it is {state}.")


class DeadlinePassed(NotWaiting):
    """An answer came after its question's deadline: the run goes on without it."""

    code = "DEADLINE_PASSED"

    def __init__(self, run_id: UUID | str, deadline: datetime, token: str) -> None:
        super().__init__(run_id, "past its deadline", token)
        self.deadline = deadline
        self.args = (
            f"Run {run_id} took answers until {deadline.isoformat(timespec='seconds')}; it goes on without one.",
        )


class TakesNoMessages(NotWaiting):
    """A message was sent to a run that is over."""

    code = "TAKES_NO_MESSAGES"

    def __init__(self, run_id: UUID | str, state: str) -> None:
        super().__init__(run_id, state)
        self.args = (f"Run {run_id} takes no more messages: it is {state}.",)


class AmbiguousResume(DurableError):
    """Several waits are pending, so the answer must say which one it is for. ``waits`` are their (path, token) pairs."""

    code = "AMBIGUOUS_RESUME"

    def __init__(self, run_id: UUID | str, waits: Sequence[tuple[str, str]]) -> None:
        self.run_id = run_id
        self.paths, self.tokens = [path for path, _ in waits], [token for _, token in waits]
        # A token lets whoever has it answer, and this text goes to logs: the paths tell people which is which.
        super().__init__(
            f"Run {run_id} waits for {len(waits)} answers, at {', '.join(self.paths)}; "
            "name the one that you give by its token, which result.waits() tells."
        )


class AlreadyResolved(DurableError):
    """Another answer was given before. The first one stands."""

    code = "ALREADY_RESOLVED"

    def __init__(self, token: str) -> None:
        self.token = token
        super().__init__(f"The wait {token} was answered before, with another answer. The first answer stands.")


class BadLink(DurableError):
    """A link was changed on its way, or signed with a key that this site does not know."""

    code = "BAD_LINK"

    def __init__(self) -> None:
        super().__init__("This link is damaged. Use it as it was sent, whole.")


class TooOften(DurableError):
    """A link was followed too often, or too many wrong ones came from one address."""

    code = "TOO_OFTEN"

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"This was asked too often. Try again in {seconds:.0f} seconds.")


class LinkExpired(DurableError):
    """A link was used after its time."""

    code = "LINK_EXPIRED"

    def __init__(self, expired_at: datetime) -> None:
        self.expired_at = expired_at
        super().__init__(f"This link was good until {expired_at.isoformat(timespec='seconds')}.")


class NotAskedYet(DurableError):
    """A link leads to a question that its run has not put yet."""

    code = "NOT_ASKED_YET"

    def __init__(self, run_id: UUID | str, path: str) -> None:
        self.run_id, self.path = run_id, path
        super().__init__(f"Run {run_id} has not asked {path!r} yet. Try again in a moment.")


class LinksNotRouted(DurableError):
    """The site has no addresses for links."""

    code = "LINKS_NOT_ROUTED"

    def __init__(self) -> None:
        super().__init__(
            "A link needs an address: add path('tasks/answers/', include('django_tasks_durable.answers.urls')) "
            "to the urlpatterns of ROOT_URLCONF."
        )


class NotJson(DurableError, ValueError):
    """What was sent to a webhook is no JSON."""

    code = "NOT_JSON"

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"The body is not JSON: {problem}")


class MayNotAnswer(DurableError, PermissionError):
    """A person answered who lacks the permission that the question asks for."""

    code = "NOT_PERMITTED"

    def __init__(self, permission: str, who: str) -> None:
        self.permission, self.who = permission, who
        super().__init__(f"{who or 'Nobody'} may not answer this: it takes the permission {permission!r}.")


class UnknownForm(DurableError, LookupError):
    """No form of this name is registered in this process."""

    code = "UNKNOWN_FORM"

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"No form {name!r} is registered here. Decorate it with @answer_form, and import it in a tasks.py."
        )


class InvalidAnswer(DurableError, ValueError):
    """The form of a question refused the answer. ``errors`` says why, by field."""

    code = "INVALID_ANSWER"

    def __init__(self, errors: dict[str, list[str]]) -> None:
        self.errors = errors
        said = "; ".join(f"{name}: {' '.join(problems)}" for name, problems in errors.items())
        super().__init__(f"The form refused the answer. {said}")


class UnknownPath(DurableError, LookupError):
    """The history of a run has nothing at this path. ``near`` names paths that may be meant."""

    code = "UNKNOWN_PATH"

    def __init__(self, run_id: UUID | str, path: str, near: list[str]) -> None:
        self.run_id, self.path, self.near = run_id, path, near
        hint = f"Is it {' or '.join(map(repr, near))}?" if near else "It has none at all."
        super().__init__(f"Run {run_id} has nothing at {path!r}. {hint}")


class InvalidTransition(DurableError):
    """What was asked for cannot be done with a run in this state."""

    code = "INVALID_TRANSITION"

    def __init__(self, run_id: UUID | str, act: str, state: str) -> None:
        self.run_id, self.act, self.state = run_id, act, state
        super().__init__(f"Run {run_id} is {state}: it cannot be asked to {act}.")


class TaskCancelled(DurableError):
    """The run was cancelled. This is the error that Django's TaskResult of a cancelled run shows."""

    code = "CANCELLED"


class WorkerCrashed(DurableError):
    """The run was lost with its worker as often as it may be, without getting any further."""

    code = "CRASHED"

    def __init__(self, deliveries: int) -> None:
        self.deliveries = deliveries
        super().__init__(
            f"The worker died {deliveries} time(s) in a row while it ran this task, without a new checkpoint in between. "
            "Look for a crash, a kill for memory or os._exit in the task, then retry the run."
        )


class ProcessDied(DurableError):
    """The child process that carried an attempt ended without an outcome.

    ``exit_code`` is that of the process, negative for the number of the signal that killed it.
    """

    code = "CRASHED"

    def __init__(self, exit_code: int, how: str) -> None:
        self.exit_code = exit_code
        super().__init__(
            f"The child process that ran the task {how}. "
            "Look for a crash, a kill for memory or os._exit in the task, then retry the run."
        )


class CpuTimeExceeded(DurableError):
    """An attempt used more processor time than OPTIONS['child_cpu_seconds'] gives it."""

    code = "CPU_TIME"

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        super().__init__(f"The attempt used more than the {seconds} s of processor time that the settings give it.")


class ExecutorUnfit(DurableError):
    """An executor that the settings, a task or a command names cannot be used."""

    code = "EXECUTOR_UNFIT"

    def __init__(self, name: str, problem: str) -> None:
        self.name, self.problem = name, problem
        super().__init__(f"The executor {name!r} cannot be used: {problem}")


class InvalidKey(DurableError, ValueError):
    """The key of a primitive cannot be part of a path."""

    code = "INVALID_KEY"

    def __init__(self, key: object, problem: str) -> None:
        self.key, self.problem = key, problem
        super().__init__(f"The key {key!r} cannot be used: {problem}")


class InvalidChannel(DurableError, ValueError):
    """A channel of a run has no name that can be used."""

    code = "INVALID_CHANNEL"

    def __init__(self, channel: object, problem: str) -> None:
        self.channel, self.problem = channel, problem
        super().__init__(f"The channel {channel!r} cannot be used: {problem}")


class InvalidLimit(DurableError, ValueError):
    """A limit cannot be kept. ``name`` says which one, ``value`` what was given."""

    code = "INVALID_LIMIT"

    def __init__(self, name: str, value: object, problem: str) -> None:
        self.name, self.value, self.problem = name, value, problem
        super().__init__(f"{name}={value!r}: {problem}")


class LimitReached(DurableError):
    """A run cannot be driven here and now: as many as its limits allow are running, or were started."""

    code = "LIMIT_REACHED"

    def __init__(self, run_id: UUID | str) -> None:
        self.run_id = run_id
        super().__init__(
            f"Run {run_id} is held back by a limit: as many as its task, its key, its queue or the settings allow are under way. "
            "It stays queued; try again, or leave it to a worker."
        )


class UnknownQueue(DurableError, LookupError):
    """No backend of this database takes runs of a queue with this name."""

    code = "UNKNOWN_QUEUE"

    def __init__(self, name: str, hint: str) -> None:
        self.name = name
        super().__init__(f"There is no queue {name!r}. {hint}")


class WaitTimeout(DurableError, TimeoutError):
    """Nobody answered a question before its deadline, and it has no default answer."""

    code = "WAIT_TIMEOUT"

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(f"Nobody answered {path!r} before its deadline. Give it a default, or catch WaitTimeout.")


class PollTimeout(DurableError, TimeoutError):
    """What was polled for did not come in time, or not in so many polls."""

    code = "POLL_TIMEOUT"

    def __init__(self, path: str, polls: int) -> None:
        self.path, self.polls = path, polls
        super().__init__(f"{path!r} was polled {polls} time(s) in vain. Give it longer, or catch PollTimeout.")


class NotSpawnable(DurableError, TypeError):
    """This cannot be started as a child with a run of its own."""

    code = "NOT_SPAWNABLE"

    def __init__(self, callee: object, problem: str) -> None:
        self.callee, self.problem = str(callee), problem
        super().__init__(f"{callee} cannot be started as a child: {problem}")


class ChildFailed(DurableError):
    """A child ended in an error, told by its class path and message. ``run_id`` is the child's."""

    code = "CHILD_FAILED"

    def __init__(self, run_id: UUID, exception_class_path: str, message: str) -> None:
        self.run_id, self.exception_class_path, self.message = run_id, exception_class_path, message
        super().__init__(
            f"Child {run_id} failed with {exception_class_path}: {message}. Retry it, then its parent; or catch ChildFailed."
        )


class ChildCancelled(DurableError):
    """A child was cancelled. ``run_id`` is the child's."""

    code = "CHILD_CANCELLED"

    def __init__(self, run_id: UUID) -> None:
        self.run_id = run_id
        super().__init__(f"Child {run_id} was cancelled. Retry it, then its parent; or catch ChildCancelled.")


class TaskTimeout(DurableError, TimeoutError):
    """An attempt took longer than the task's ``timeout``."""

    code = "TIMEOUT"

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"The attempt took longer than the {seconds:g} s that the task's timeout gives it.")


class CompensationLost(DurableError):
    """The code no longer says how a step is undone that an earlier slice has done."""

    code = "COMPENSATION_LOST"

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(
            f"The body, as it is now, does not come to {path!r} again, so how it is undone is not known. Undo it by hand."
        )


class StepTimeout(DurableError, TimeoutError):
    """A try of a step took longer than the step's ``timeout``."""

    code = "STEP_TIMEOUT"

    def __init__(self, path: str, seconds: float) -> None:
        self.path, self.seconds = path, seconds
        super().__init__(f"A try of {path!r} took longer than the {seconds:g} s that its timeout gives it.")


class IdempotencyConflict(DurableError):
    """A name stands for a run that was given other arguments."""

    code = "IDEMPOTENCY_CONFLICT"

    def __init__(self, name: str, run_id: UUID | None = None, *, is_open: bool = True) -> None:
        self.name, self.run_id = name, run_id
        how = "is open and was given other arguments" if is_open else "was given other arguments"
        super().__init__(
            f"The run {name!r} {how}. Choose another name, or let {'it end' if is_open else 'that expire'} first."
        )


class DuplicateTask(DurableError):
    """A run with the same dedupe key is open, and the call asked to be rejected then."""

    code = "DUPLICATE"

    def __init__(self, key: str, run_id: UUID | str) -> None:
        self.key, self.run_id = key, run_id
        super().__init__(
            f"The run {run_id} with the dedupe key {key!r} is still open. "
            "Let it end or cancel it, or enqueue with on_duplicate='reuse'."
        )


class KeyHeld(DurableError):
    """A run cannot be retried, because another one has its key by now."""

    code = "KEY_HELD"

    def __init__(self, kind: str, key: str, run_id: UUID) -> None:
        self.kind, self.key, self.run_id = kind, key, run_id
        super().__init__(
            f"The {kind} key {key!r} is held by run {run_id} by now. Let that end or cancel it, then retry."
        )


class Superseded(DurableError):
    """The run was cancelled because a newer one with the same supersede key took its place."""

    code = "SUPERSEDED"


class PersistenceFailed(DurableError):
    """The database refused to store a fact, so the step or the outcome that wanted it stored has failed."""

    code = "PERSISTENCE_FAILED"

    def __init__(self, cause: BaseException) -> None:
        self.cause = cause
        super().__init__(f"The database refused to store it: {cause}")


class DatabaseAway(DurableError):
    """The database's server could not take what an atomic step wrote: it is away, read-only, full or out of connections."""

    code = "DATABASE_AWAY"

    def __init__(self, cause: BaseException) -> None:
        self.cause = cause
        super().__init__(f"The database takes no writes for now: {cause}")


class AttemptBroken(DurableError):
    """An attempt ended without an outcome: a fault of this package or of an executor, not of the task."""

    code = "BROKEN"

    def __init__(self) -> None:
        super().__init__(
            "The attempt broke without an outcome; the worker's log holds the traceback. Retry the run once mended."
        )


class Interrupted(DurableError):
    """A run that was driven in process waits for an answer."""

    code = "INTERRUPTED"

    def __init__(self, payload: object, token: str) -> None:
        self.payload, self.token = payload, token
        super().__init__(f"The run waits for an answer to {payload!r}.")


class FlowUnreadable(DurableError, ValueError):
    """The text of a flow is no JSON."""

    code = "FLOW_UNREADABLE"

    def __init__(self, line: int, column: int, problem: str) -> None:
        self.line, self.column, self.problem = line, column, problem
        super().__init__(f"Line {line}, column {column}: {problem}")


class FlowInvalid(DurableError, ValueError):
    """A flow cannot become a workflow. ``problems`` holds the JSON path and the message of each mistake."""

    code = "FLOW_INVALID"

    def __init__(self, problems: tuple[tuple[str, str], ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(f"{path}: {message}" for path, message in problems))


class ImplementationUnfit(DurableError, ValueError):
    """The file that implements a flow is not one that stubs can be added to."""

    code = "IMPLEMENTATION_UNFIT"


class SnapshotFormat(DurableError, ValueError):
    """A snapshot is none, or is damaged. ``errors`` says all that is wrong, each with its place."""

    code = "SNAPSHOT_FORMAT"

    def __init__(self, errors: list[str]) -> None:
        self.errors = errors
        more = f" (and {len(errors) - 1} more, in .errors)" if len(errors) > 1 else ""
        super().__init__(f"{errors[0]}{more}")


class SnapshotMismatch(DurableError, ValueError):
    """A snapshot is sound, but of something else. ``what`` is task, workflow, steps or definition."""

    code = "SNAPSHOT_MISMATCH"

    def __init__(self, what: str, expected: object, found: object) -> None:
        self.what, self.expected, self.found = what, expected, found
        super().__init__(
            f"The snapshot is of another {what}: it has {found!r}, expected was {expected!r}. Nothing was restored."
        )


class SnapshotDecode(DurableError, ValueError):
    """A value in a snapshot cannot be made again in this process. ``step`` says where it is."""

    code = "SNAPSHOT_DECODE"

    def __init__(self, step: str, problem: str) -> None:
        self.step, self.problem = step, problem
        super().__init__(f"The value of {step!r} in the snapshot cannot be read: {problem}")


class VersionMismatch(DurableError):
    """A run or a snapshot is of another version of its task's code, and nothing leads from there to here."""

    code = "VERSION_MISMATCH"

    def __init__(self, stored: int, current: int, problem: str) -> None:
        self.stored, self.current = stored, current
        super().__init__(f"It is of version {stored} of its task, the code is version {current}: {problem}")


class AlreadyRunning(DurableError):
    """A run cannot be driven here, because somebody alive runs it. ``reason`` is ``in-process`` or ``elsewhere``."""

    code = "ALREADY_RUNNING"

    def __init__(self, run_id: UUID | str, worker_id: str, *, is_here: bool) -> None:
        self.run_id, self.worker_id = run_id, worker_id
        self.reason = "in-process" if is_here else "elsewhere"
        whom = "another stream of this process" if is_here else f"the worker {worker_id}"
        super().__init__(f"Run {run_id} is being run by {whom}. Wait for its result, or close that stream first.")


class RunExists(DurableError):
    """A run of this id is in the store already."""

    code = "RUN_EXISTS"

    def __init__(self, run_id: UUID | str) -> None:
        self.run_id = run_id
        super().__init__(f"There is a run {run_id} already. Restore the snapshot under another id.")


class InvalidWorkflow(DurableError, TypeError):
    """A workflow class cannot be run as it is written."""

    code = "INVALID_WORKFLOW"

    def __init__(self, workflow: str, problem: str) -> None:
        self.workflow, self.problem = workflow, problem
        super().__init__(f"The workflow {workflow}: {problem}")


class InvalidState(DurableError, TypeError):
    """A value does not fit the ``State`` of a workflow."""

    code = "INVALID_STATE"

    def __init__(self, workflow: str, problem: str) -> None:
        self.workflow, self.problem = workflow, problem
        super().__init__(f"The state of {workflow}: {problem}")


class UnknownTransition(NonRetryable):
    """A step of a workflow named a next step that its ``to=`` does not."""

    code = "UNKNOWN_TRANSITION"

    def __init__(self, workflow: str, step: str, target: object, declared: list[str]) -> None:
        self.workflow, self.step, self.target, self.declared = workflow, step, target, declared
        super().__init__(
            f"The step {step!r} of {workflow} went on to {target!r}, but its to= declares only {', '.join(declared)}. "
            "Declare it there, or return one of these, then retry the run."
        )


class UnknownStep(NonRetryable):
    """A run stands at a step that its workflow class no longer has."""

    code = "UNKNOWN_STEP"

    def __init__(self, workflow: str, step: str, known: list[str]) -> None:
        self.workflow, self.step, self.known = workflow, step, known
        super().__init__(
            f"The run stands at the step {step!r}, which {workflow} does not have (it has {', '.join(known)}). "
            "Bring the step back under its name, then retry the run."
        )


class NotAttached(DurableError):
    """A workflow was asked for something that only an attempt of its run can do."""

    code = "NOT_ATTACHED"

    def __init__(self, workflow: str, asked: str) -> None:
        self.workflow, self.asked = workflow, asked
        super().__init__(
            f"{asked} was asked of a {workflow} that no attempt carries. The words of the context are for its steps; "
            "a command changes the state, and a query reads it."
        )


class AlreadyAttached(DurableError):
    """A workflow that is attached to one run cannot be attached to another."""

    code = "ALREADY_ATTACHED"

    def __init__(self, workflow: str, run_id: object) -> None:
        self.workflow, self.run_id = workflow, run_id
        super().__init__(f"This {workflow} is attached to run {run_id} already; make another instance.")


class MiddlewareMisused(DurableError):
    """A middleware did with ``get_outcome`` what cannot be done."""

    code = "MIDDLEWARE_MISUSED"


class ControlFlow(BaseException):
    """The base of what stops a body from outside; ``except Exception`` cannot eat it. Do not raise directly."""


class Suspend(ControlFlow):
    """A primitive waits: the body is left and will be replayed later."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(path)


class EndOfHistory(Suspend):
    """A rehearsal has come to what its history does not answer."""


class LeaseLost(ControlFlow):
    """The attempt may no longer write: another worker has the run, or an operator ended it."""

    def __init__(self, run_id: UUID, token: int) -> None:
        self.run_id, self.token = run_id, token
        super().__init__(f"The lease {token} of run {run_id} is lost; nothing more of this attempt is written.")


class StateMoved(LeaseLost):
    """A command changed the workflow's state meanwhile: nothing is written, and the visit begins again on the new state."""


class RunCancelled(ControlFlow):
    """Somebody asked for the run to be cancelled; it ends at the next primitive."""


class ShuttingDown(ControlFlow):
    """The worker stops; the run is given back and goes on elsewhere from its last checkpoint."""
