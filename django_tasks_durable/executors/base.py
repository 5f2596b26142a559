"""What every executor offers to the worker, and which there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any, Protocol

from django.utils.module_loading import import_string

from django_tasks_durable import signals
from django_tasks_durable.authoring.tasks import options_of
from django_tasks_durable.compat import Task
from django_tasks_durable.conf import Options, nearest
from django_tasks_durable.engine.attempt import AttemptControl, is_async
from django_tasks_durable.exceptions import ExecutorUnfit
from django_tasks_durable.primitives.writes import ClaimedRun, Outcome, RunStore, Verdict

THREAD, EVENT_LOOP, PROCESS = "thread", "event_loop", "process"
SHIPPED = {
    THREAD: "django_tasks_durable.executors.thread.ThreadExecutor",
    EVENT_LOOP: "django_tasks_durable.executors.event_loop.EventLoopExecutor",
    PROCESS: "django_tasks_durable.executors.process.ProcessExecutor",
}


class Carried(Protocol):
    """A claimed run on its way through an executor."""

    claimed: ClaimedRun
    control: AttemptControl

    @property
    def store(self) -> RunStore:
        """Where the attempt leaves its facts."""

    def begin(self) -> bool:
        """Take the run out of the prefetch; False when it was given back meanwhile."""

    def ended(self, ending: tuple[Outcome, Future[Verdict]] | None) -> None:
        """Say that the attempt's code has ended, with what it handed over (None when its lease was lost)."""

    def flushed(self) -> Future[Any]:
        """Return a future that is done once all that was handed in is durable, or raises LeaseLost."""

    def heard(self, verdict: Verdict) -> None:
        """Take note of what was committed for this run elsewhere, behind the same lease."""


class Executor(Protocol):
    """Carries attempts. One contract suite covers every implementation: ``testing.ExecutorContract``.

    It is made with its number of slots and the options of the alias: ``MyExecutor(slots, options)``. ``can_kill`` says
    whether an attempt ends when its time is up, or it is cancelled, wherever its code is.
    """

    slots: int
    can_kill: bool

    def start(self) -> None:
        """Make ready. Raise ExecutorUnfit when no task could be carried."""

    def hand_over(self, batch: Iterable[Carried]) -> None:
        """Take claimed runs, in order. Never blocks."""

    def stop(self) -> None:
        """Take nothing more; what runs goes on to its own end or its control's reason."""


ExecutorFactory = Callable[[int, Options], Executor]


def executor_of(task: Task[..., Any], default: str) -> str:
    """Return the name of what carries a task. The default is for synchronous tasks that name none."""
    return options_of(task).executor or (EVENT_LOOP if is_async(task) else default)


def factory_of(name: str) -> ExecutorFactory:
    """Return what makes the executor of a name or dotted path. Raise ExecutorUnfit saying what is wrong."""
    path = SHIPPED.get(name, name)
    if "." not in path:
        raise ExecutorUnfit(name, f"there is none of this name. {nearest(name, list(SHIPPED))} Or give a dotted path.")
    try:
        factory: ExecutorFactory = import_string(path)
    except ImportError as error:
        raise ExecutorUnfit(name, str(error)) from error
    missing = [each for each in ("start", "hand_over", "stop", "can_kill") if not hasattr(factory, each)]
    if not callable(factory) or (isinstance(factory, type) and missing):
        raise ExecutorUnfit(name, f"{path} is no Executor: it has no {', '.join(missing) or 'constructor'}.")
    return factory


def unfit_for(task: Task[..., Any]) -> str:
    """Say why what a task names cannot carry it; nothing when it can. Raise ExecutorUnfit."""
    name = options_of(task).executor
    if name is None:
        return ""
    factory_of(name)
    if name == EVENT_LOOP and not is_async(task):
        return "the event loop carries coroutines only, and this is a synchronous function"
    if name == THREAD and is_async(task):
        return "a thread carries synchronous functions, and this is a coroutine"
    return ""


def announce_start(claimed: ClaimedRun) -> None:
    """Tell those who listen that a run's body is about to begin; a failing listener fails no task."""
    if signals.run_started.receivers:
        signals.run_started.send_robust(sender=None, claimed=claimed)
