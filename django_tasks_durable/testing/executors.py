"""The contract of what carries attempts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django_tasks_durable.conf import Options
from django_tasks_durable.exceptions import LeaseLost, RunCancelled, ShuttingDown
from django_tasks_durable.executors.base import Executor
from django_tasks_durable.primitives.writes import (
    Append,
    Cancelled,
    Failed,
    Released,
    SaveCheckpoint,
    Started,
    Succeeded,
    Suspended,
)

from . import executor_tasks as tasks
from .carried import CarriedRun


class ExecutorContract:
    """What every Executor must do, as tests: inherit from it in a test class and say how to make one.

    Works with pytest, and with unittest beside ``TestCase``. An executor that carries only one kind of task says so with
    ``carries_sync`` or ``carries_async``; one whose ``can_kill`` is True is held to that.
    """

    carries_sync = True
    carries_async = False

    def make_executor(self, slots: int, options: Options) -> Executor:
        """Return an executor that has not been started."""
        raise NotImplementedError(f"{type(self).__name__}.make_executor() must return an Executor.")

    @property
    def tasks(self) -> list[tasks.Kind]:
        """The tasks that the executor is tried with, of each kind that it carries."""
        return [
            kind
            for kind, is_carried in ((tasks.SYNC, self.carries_sync), (tasks.ASYNC, self.carries_async))
            if is_carried
        ]

    @contextmanager
    def executor(self, slots: int = 2) -> Iterator[Executor]:
        """Start an executor, and stop it at the end."""
        made = self.make_executor(slots, Options(child_grace_seconds=0.3))
        assert made.slots == slots
        made.start()
        yield made
        made.stop()

    def test_a_run_is_carried_to_its_end_with_its_facts_in_order(self) -> None:
        """What an attempt hands over arrives in order, and once."""
        for kind in self.tasks:
            with self.executor() as executor:
                executor.hand_over([run := CarriedRun(kind.steps, 3)])
                assert run.outcome == Succeeded(lease=run.claimed.lease, result="[10,20,30]")
            told = [
                write.line.message for write in run.writes if isinstance(write, Append) if "step" in write.line.message
            ]
            paths = [write.checkpoint.path for write in run.writes if isinstance(write, SaveCheckpoint)]
            assert (told, paths) == ([f"step {n}" for n in range(3)], [f"step:{n}" for n in range(3)])
            assert isinstance(run.writes[0], Started)
            assert run.writes[-1] is run.outcome

    def test_a_question_suspends_the_run(self) -> None:
        """The slot is free meanwhile."""
        for kind in self.tasks:
            with self.executor(1) as executor:
                executor.hand_over([asking := CarriedRun(kind.asks), after := CarriedRun(kind.steps, 1)])
                assert isinstance(asking.outcome, Suspended)
                assert isinstance(after.outcome, Succeeded)

    def test_a_failure_is_an_outcome_and_the_next_run_is_carried(self) -> None:
        """Whatever a task raises, also what is no Exception, ends its own run only; a failure may be retried."""
        for kind in self.tasks:
            with self.executor(1) as executor:
                errors = ["ValueError", "SystemExit", "KeyboardInterrupt", "GeneratorExit", "RecursionError"]
                runs = [CarriedRun(kind.raises, name) for name in errors]
                again = CarriedRun(kind.raises, "ValueError", attempts=2)
                executor.hand_over([*runs, again, last := CarriedRun(kind.steps, 1)])
                for name, run in zip(errors, runs, strict=True):
                    assert isinstance(run.outcome, Failed), name
                    assert run.outcome.error.exception_class_path.endswith(name)
                assert isinstance(again.outcome, Failed)
                assert again.outcome.retry_at is not None
                assert isinstance(last.outcome, Succeeded)

    def test_a_value_that_cannot_be_stored_fails_the_run_by_name(self) -> None:
        """Nothing is pickled, nothing breaks."""
        for kind in self.tasks:
            with self.executor() as executor:
                executor.hand_over([run := CarriedRun(kind.unstorable)])
                assert isinstance(run.outcome, Failed)
                assert run.outcome.error.code == "NOT_SERIALIZABLE"

    def test_a_run_that_was_given_back_meanwhile_is_not_begun(self) -> None:
        """begin() is asked first, for each run."""
        for kind in self.tasks:
            with self.executor(1) as executor:
                unwanted, wanted = CarriedRun(kind.steps, 1), CarriedRun(kind.steps, 1)
                unwanted.is_wanted = False
                executor.hand_over([unwanted, wanted])
                assert isinstance(wanted.outcome, Succeeded)
                assert unwanted.began.is_set()
                assert unwanted.writes == []
                assert not unwanted.has_ended.is_set()

    def test_no_more_runs_are_begun_than_there_are_slots(self) -> None:
        """The others wait, in order."""
        for kind in self.tasks:
            with self.executor(2) as executor:
                runs = [CarriedRun(kind.goes_on) for _ in range(3)]
                executor.hand_over(runs)
                for run in runs[:2]:
                    run.wait_for(lambda write: isinstance(write, SaveCheckpoint))
                assert not runs[2].began.is_set()
                for run in runs:
                    run.control.stop(RunCancelled())
                assert all(isinstance(run.outcome, Cancelled) for run in runs)

    def test_an_attempt_ends_at_its_next_primitive_for_the_reason_of_its_control(self) -> None:
        """A cancellation cancels, a shutdown gives back, and who has lost the lease says nothing more."""
        for kind in self.tasks:
            with self.executor(1) as executor:
                for reason, outcome in ((RunCancelled("enough"), Cancelled), (ShuttingDown(), Released)):
                    executor.hand_over([run := CarriedRun(kind.goes_on)])
                    run.wait_for(lambda write: isinstance(write, SaveCheckpoint))
                    run.control.stop(reason)
                    assert isinstance(run.outcome, outcome)
                executor.hand_over([lost := CarriedRun(kind.goes_on)])
                lost.wait_for(lambda write: isinstance(write, SaveCheckpoint))
                lost.control.stop(LeaseLost(lost.claimed.run_id, 1))
                assert lost.outcome is None

    def test_a_timeout_fails_the_run(self) -> None:
        """At the next primitive at the latest."""
        for kind in self.tasks:
            with self.executor(1) as executor:
                executor.hand_over([run := CarriedRun(kind.goes_on, timeout=0.3)])
                assert isinstance(run.outcome, Failed)
                assert run.outcome.error.code == "TIMEOUT"

    def test_what_can_kill_ends_code_that_comes_to_no_primitive(self) -> None:
        """An executor that says it can kill is held to it: by a timeout, by a cancellation, and the next run is carried."""
        for kind in self.tasks:
            with self.executor(1) as executor:
                if not executor.can_kill:
                    continue
                late, cancelled = CarriedRun(kind.hangs, timeout=0.3), CarriedRun(kind.hangs)
                executor.hand_over([late, cancelled, after := CarriedRun(kind.steps, 1)])
                assert isinstance(late.outcome, Failed)
                assert late.outcome.error.code == "TIMEOUT"
                cancelled.wait_for(lambda write: isinstance(write, SaveCheckpoint))
                cancelled.control.stop(RunCancelled())
                assert isinstance(cancelled.outcome, Cancelled)
                assert isinstance(after.outcome, Succeeded)

    def test_a_stopped_executor_lets_what_runs_come_to_its_end(self) -> None:
        """stop() ends no attempt."""
        for kind in self.tasks:
            with self.executor(1) as executor:
                executor.hand_over([run := CarriedRun(kind.goes_on)])
                run.wait_for(lambda write: isinstance(write, SaveCheckpoint))
            assert not run.has_ended.is_set()
            run.control.stop(ShuttingDown())
            assert isinstance(run.outcome, Released)
