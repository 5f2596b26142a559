"""Acts on a queue in any order, by attempts that still hold their lease and by those that have long lost it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from django_tasks_durable import testing
from django_tasks_durable.conf import RetentionPolicy
from django_tasks_durable.exceptions import (
    AlreadyResolved,
    DeadlinePassed,
    DurableError,
    InvalidTransition,
    KeyHeld,
    LeaseLost,
    NotSerializable,
    NotWaiting,
    PayloadTooLarge,
    TakesNoMessages,
)
from django_tasks_durable.models import Checkpoint, Message, OpenKey, Step, TaskRun, Wait, Worker
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.status import FINISHED, LEASED, CheckpointKind, RunStatus, StepKind, WakeReason
from django_tasks_durable.primitives.writes import (
    Append,
    Cancelled,
    CheckpointRecord,
    ClaimedRun,
    Failed,
    Line,
    Released,
    SaveCheckpoint,
    SetProgress,
    Started,
    Succeeded,
    Suspended,
    WaitRequest,
    Write,
)
from django_tasks_durable.store import claims, control, intake, maintenance, messages, retention, vendors, workers
from tests.probe import tasks
from tests.store import acts, hostile
from tests.store.hostile import Given
from tests.store.queue_model import Asked, Model, Run

USING = "default"
Refusal = type[DurableError] | tuple[type[DurableError], ...]
YES = Given("yes", True)
# A millisecond past: SQLite sorts instants as text, and Django leaves out a fraction of nought, which the store writes; of two
# runs that are due at the same whole second either may come first.
NOON = datetime.fromisoformat("2030-01-01T12:00:00.001+00:00")
names = st.sampled_from(["", "", "a", "b"])
seconds = st.sampled_from([0, 1, 29, 31, 90])


class QueueMachine(RuleBasedStateMachine):
    """The store's own functions against a model; every claim stays in the bundle after it has gone stale."""

    runs = Bundle("runs")
    held = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        self.around = ExitStack()
        self.around.enter_context(testing.frozen(NOON))
        for table in (OpenKey, Message, Wait, Checkpoint, Step, TaskRun, Worker):
            table.objects.all().delete()
        self.session = vendors.session(USING)
        self.model = Model()
        self.count = 0

    def teardown(self) -> None:
        """Everything that is open can be brought to its end."""
        try:
            for _ in range(20):
                self._settle_all()
                if not any(run.is_open for run in self.model.runs.values()):
                    return
            raise AssertionError([run for run in self.model.runs.values() if run.is_open])
        finally:
            self.around.close()

    @property
    def now(self) -> datetime:
        """The instant by the database's clock."""
        return self.session.now_at()

    def fresh(self, what: str) -> str:
        """Make a word that was not used yet."""
        self.count += 1
        return f"{what}{self.count}"

    # --- producers

    @initialize()
    def open_up(self) -> None:
        """Begin with one worker."""
        self.hire()

    @rule(
        target=runs, given=hostile.values, dedupe=names, supersede=names, delay=seconds,
        attempts=st.integers(1, 3), priority=st.sampled_from([0, 0, 5]),
    )  # fmt: skip
    def enqueue(self, given: Given, dedupe: str, supersede: str, delay: int, attempts: int, priority: int) -> Any:
        """Call a task, with or without keys."""
        options: dict[str, Any] = {"max_attempts": attempts, "priority": priority}
        options |= {name: key for name, key in (("dedupe_key", dedupe), ("supersede_key", supersede)) if key}
        if delay:
            options["run_after"] = self.now + timedelta(seconds=delay)
        call = tasks.echo.using(**options)

        def accept() -> Any:
            return intake.accept(call, [given.value], {}, using=USING, backend_alias="default")

        accepted = self.stored(accept, given)
        if accepted is None:
            return multiple()
        if there := self.model.with_name("dedupe", dedupe):
            assert accepted == intake.Reused(there.id)
            return multiple()
        assert isinstance(accepted, intake.Accepted)
        loser = self.model.with_name("supersede", supersede)
        assert accepted.superseded == ((loser.id,) if loser else ())
        if loser:
            loser.lines += 1
            loser.end(RunStatus.CANCELLED)
        due = self.now + timedelta(seconds=delay)
        self.model.runs[accepted.run_id] = Run(accepted.run_id, priority, due, attempts, dedupe, supersede)
        assert codec.decode(acts.run(accepted.run_id).args) == [given.value]
        return accepted.run_id

    # --- workers

    @rule()
    def hire(self) -> None:
        """Start a worker."""
        if len(self.model.beats) - len(self.model.dead) < 3:
            name = acts.register(self.session, self.fresh("w"), lease_seconds=30)
            self.model.beats[name] = self.now

    @rule(data=st.data())
    def beat(self, data: st.DataObject) -> None:
        """Say that a worker lives, also a dead one."""
        name = data.draw(st.sampled_from(sorted(self.model.beats)))
        heard = workers.beat(self.session, name)
        assert heard.alive == (name not in self.model.dead)
        if heard.alive:
            self.model.beats[name] = self.now
            asked = {run.id for run in self.model.runs.values() if run.holder == name and run.cancelling}
            assert {run_id for run_id, _, _ in heard.cancelled} == asked

    @rule(target=held, data=st.data(), limit=st.integers(1, 3))
    def claim(self, data: st.DataObject, limit: int) -> Any:
        """Claim what is due, also for a dead worker."""
        name = data.draw(st.sampled_from(sorted(self.model.beats)))
        return multiple(*self._claimed(name, limit))

    def _claimed(self, name: str, limit: int) -> list[ClaimedRun]:
        expected = self.model.due(self.now)[:limit]
        try:
            found = acts.claim(self.session, name, limit=limit)
        except claims.WorkerDeclaredDead:
            assert name in self.model.dead
            return []
        if name in self.model.dead:
            assert not found
            assert not expected
        assert [claimed.run_id for claimed in found] == [run.id for run in expected]
        for claimed, run in zip(found, expected, strict=True):
            run.token += 1
            run.status, run.holder, run.sleeps = RunStatus.CLAIMED, name, False
            assert (claimed.lease.token, claimed.inbox, claimed.attempts) == (run.token, run.inbox, run.attempts)
        return found

    @rule(by=st.sampled_from([1, 29, 31, 3600]))
    def pass_time(self, by: int) -> None:
        """Let time go on, and any worker keep house."""
        testing.advance(by)
        self.model.pass_time(self.now)
        workers.declare_dead(self.session)
        workers.sweep(self.session)
        maintenance.wake_overdue(self.session)

    @rule(target=held)
    def take_over(self) -> Any:
        """Let all workers fall silent, and a new one take what they held."""
        self.pass_time(31)
        self.hire()
        return multiple(*self._claimed(max(self.model.beats, key=self.model.beats.__getitem__), 3))

    @rule()
    def prune(self) -> None:
        """Delete what has ended, and nothing else."""
        self.pass_time(1)
        retention.prune(self.session, RetentionPolicy(successful=0.0, failed=0.0, cancelled=0.0))
        left = set(TaskRun.objects.values_list("id", flat=True))
        for run_id, run in list(self.model.runs.items()):
            assert (run_id in left) == run.is_open
            if run_id not in left:
                del self.model.runs[run_id]

    # --- attempts, with their lease or without

    def write(self, claimed: ClaimedRun, *facts: Write) -> Run | None:
        """Hand in facts. Return the run that they changed, None when the lease is lost."""
        owns = self.model.owns(claimed)
        answer = acts.hand_in(self.session, claimed, *facts)
        assert isinstance(answer, LeaseLost) == (not owns), answer
        return self.model.runs[claimed.run_id] if owns else None

    def stored(self, act: Callable[[], Any], given: Given) -> Any:
        """Do something with a value; what cannot be stored is refused in so many words."""
        try:
            done = act()
        except (NotSerializable, PayloadTooLarge):
            assert not given.may_be_stored
            return None
        assert given.may_be_stored
        return done

    def encoded(self, given: Given) -> str | None:
        """Write a value down as a step does; None when it is refused."""
        text = self.stored(lambda: codec.encode(given.value, limit=hostile.LIMIT), given)
        assert text is None or codec.decode(text) == given.value
        return text

    @rule(claimed=held)
    def begin(self, claimed: ClaimedRun) -> None:
        """Enter the body."""
        if run := self.write(claimed, Started(lease=claimed.lease)):
            run.status = RunStatus.RUNNING
            run.lines += 2

    @rule(claimed=held, given=hostile.values)
    def step(self, claimed: ClaimedRun, given: Given) -> None:
        """Finish a step."""
        if (text := self.encoded(given)) is None:
            return
        path = self.fresh("step:")
        record = CheckpointRecord(path=path, kind=CheckpointKind.STEP, position=self.count, value=text)
        fact = SaveCheckpoint(lease=claimed.lease, checkpoint=record, line=Line(kind=StepKind.STEP, path=path))
        if run := self.write(claimed, fact):
            run.lines += 1
            run.keep(path, text)

    @rule(claimed=held, given=hostile.values)
    def tell(self, claimed: ClaimedRun, given: Given) -> None:
        """Yield a partial, and say how far it is."""
        if (text := self.encoded(given)) is None:
            return
        line = Append(lease=claimed.lease, line=Line(kind=StepKind.PARTIAL, data=text))
        if run := self.write(claimed, line, SetProgress(lease=claimed.lease, percent=50.0, label="half", meta="{}")):
            run.lines += 1
            assert Step.objects.get(run_id=run.id, sequence=run.lines).data == text

    @rule(claimed=held, given=hostile.values)
    def succeed(self, claimed: ClaimedRun, given: Given) -> None:
        """Return a value."""
        if (text := self.encoded(given)) is None:
            return
        if run := self.write(claimed, Succeeded(lease=claimed.lease, result=text)):
            run.lines += 1
            run.end(RunStatus.SUCCESSFUL)
            run.result = text

    @rule(claimed=held, given=hostile.values, delay=st.none() | seconds)
    def fail(self, claimed: ClaimedRun, given: Given, delay: int | None) -> None:
        """Raise, with whatever for a message, and be retried or not."""
        retry_at = None if delay is None else self.now + timedelta(seconds=delay)
        error = codec.error_record(ValueError(given.value if isinstance(given.value, str) else "no"))
        if run := self.write(claimed, Failed(lease=claimed.lease, error=error, retry_at=retry_at)):
            run.fail(retry_at)

    @rule(claimed=held)
    def release(self, claimed: ClaimedRun) -> None:
        """Give the run back."""
        if run := self.write(claimed, Released(lease=claimed.lease)):
            run.give_up(self.now)

    @rule(claimed=held)
    def obey(self, claimed: ClaimedRun) -> None:
        """End as cancelled."""
        if run := self.write(claimed, Cancelled(lease=claimed.lease, reason="stop")):
            run.lines += 1
            run.end(RunStatus.CANCELLED)

    @rule(claimed=held, delay=seconds)
    def sleep(self, claimed: ClaimedRun, delay: int) -> None:
        """Sleep, unless a message came since the claim."""
        path, wake_at = self.fresh("sleep:"), self.now + timedelta(seconds=delay)
        record = CheckpointRecord(path=path, kind=CheckpointKind.SLEEP, position=self.count, value="null")
        fact = Suspended(
            lease=claimed.lease, parked=False, wake_at=wake_at, reason=WakeReason.SLEEP, inbox=claimed.inbox,
            checkpoints=(record,),
        )  # fmt: skip
        if run := self.write(claimed, fact):
            run.keep(path, "null")
            run.suspend(RunStatus.READY, wake_at, claimed.inbox, self.now)

    @rule(claimed=held, delay=st.none() | seconds)
    def ask(self, claimed: ClaimedRun, delay: int | None) -> None:
        """Wait for an answer, unless a message came since the claim."""
        path = self.fresh("wait:")
        deadline = None if delay is None else self.now + timedelta(seconds=delay)
        wait = WaitRequest(
            path=path, kind="interrupt", position=self.count, token=path, request="null", deadline=deadline
        )
        fact = Suspended(
            lease=claimed.lease, parked=True, wake_at=deadline, reason=WakeReason.NONE, inbox=claimed.inbox, waits=(wait,)
        )  # fmt: skip
        if run := self.write(claimed, fact):
            run.asked[path] = Asked(path, path, deadline)
            run.suspend(RunStatus.WAITING, deadline, claimed.inbox, self.now)

    # --- operators and senders

    def act(self, may: bool, refusal: Refusal, deed: Callable[[], Any]) -> bool:
        """Act, and hold the refusal to when it is due. Return whether it was done."""
        try:
            deed()
        except refusal:
            assert not may
            return False
        assert may
        return True

    @rule(run_id=runs)
    def cancel(self, run_id: UUID) -> None:
        """Cancel a run, whatever it does."""
        if (run := self.model.runs.get(run_id)) is None:
            return
        control.cancel(run_id, using=USING)
        if run.status in LEASED and not run.cancelling:
            run.cancelling = True
            run.lines += 1
        elif run.status not in LEASED | FINISHED:
            run.lines += 1
            run.end(RunStatus.CANCELLED)

    @rule(run_id=runs)
    def retry(self, run_id: UUID) -> None:
        """Start a run anew."""
        if (run := self.model.runs.get(run_id)) is None:
            return
        may = self.model.may_retry(run)
        if self.act(may, (InvalidTransition, KeyHeld), lambda: control.retry(run_id, using=USING)):
            run.lines += 1
            run.cancelling, run.lost = False, 0
            run.max_attempts = max(run.max_attempts, run.attempts + 1)
            run.wake(self.now)

    @rule(run_id=runs)
    def hurry(self, run_id: UUID) -> None:
        """Make a delayed run due now."""
        if (run := self.model.runs.get(run_id)) is None:
            return
        is_due = run.due is not None and run.due <= self.now
        may = run.status is RunStatus.READY and (is_due or not run.sleeps)
        if self.act(may, InvalidTransition, lambda: control.run_now(run_id, using=USING)) and not is_due:
            run.lines += 1
            run.wake(self.now)

    @rule(run_id=runs, given=hostile.values)
    def send(self, run_id: UUID, given: Given) -> None:
        """Send a message."""
        if (run := self.model.runs.get(run_id)) is None:
            return
        refusal = TakesNoMessages if given.may_be_stored else (TakesNoMessages, NotSerializable, PayloadTooLarge)
        may = run.is_open and given.may_be_stored
        if self.act(may, refusal, lambda: messages.send(run_id, "news", given.value, using=USING)):
            run.hear(self.now)
            last = Message.objects.filter(run_id=run_id).latest("id")
            assert codec.decode(last.payload) == given.value

    @rule(run_id=runs, given=hostile.values, data=st.data())
    def answer(self, run_id: UUID, given: Given, data: st.DataObject) -> None:
        """Answer a question, also one that was answered or is too late."""
        run = self.model.runs.get(run_id)
        if run is None or not run.asked:
            return
        self._answer(run, data.draw(st.sampled_from(sorted(run.asked))), given)

    def _answer(self, run: Run, token: str, given: Given) -> None:
        asked = run.asked[token]
        if (text := self.encoded(given)) is None:
            return
        may, refusal = True, cast(Refusal, NotWaiting)
        if asked.answer is not None:
            may, refusal = asked.answer == text, AlreadyResolved
        elif not run.is_open:
            may = False
        elif asked.deadline is not None and asked.deadline <= self.now:
            may, refusal = False, DeadlinePassed
        if self.act(may, refusal, lambda: control.resume(run.id, given.value, token=token, using=USING)):
            if asked.answer is None:
                was_asleep = run.sleeps
                run.hear(self.now)
                if was_asleep:
                    run.wake(self.now)
            asked.answer = text

    # --- what must hold

    @invariant()
    def rows_say_what_the_model_says(self) -> None:
        """Compare every row."""
        found = {
            run.id: (
                run.status, run.lease_token, run.attempts, run.inbox, run.last_sequence, run.deliveries, run.max_attempts,
                run.due_at if run.status in (RunStatus.READY, RunStatus.WAITING) else None, run.result,
            )
            for run in TaskRun.objects.all()
        }  # fmt: skip
        expected = {
            run.id: (
                run.status, run.token, run.attempts, run.inbox, run.lines, run.lost, run.max_attempts,
                run.due if run.status in (RunStatus.READY, RunStatus.WAITING) else None, run.result,
            )
            for run in self.model.runs.values()
        }  # fmt: skip
        assert found == expected
        sequences: dict[UUID, list[int]] = {run_id: [] for run_id in self.model.runs}
        for run_id, sequence in Step.objects.order_by("run_id", "sequence").values_list("run_id", "sequence"):
            sequences[run_id].append(sequence)
        assert sequences == {run.id: list(range(1, run.lines + 1)) for run in self.model.runs.values()}
        kept = set(Checkpoint.objects.values_list("run_id", "path", "value"))
        assert kept == {(run.id, *each) for run in self.model.runs.values() for each in run.checkpoints.items()}
        assert set(Worker.objects.exclude(dead_at=None).values_list("id", flat=True)) == self.model.dead
        held = set(OpenKey.objects.values_list("kind", "run_id"))
        assert held == {
            (kind, run.id)
            for run in self.model.runs.values()
            for kind in ("dedupe", "supersede")
            if run.is_open and getattr(run, kind)
        }

    def _settle_all(self) -> None:
        """Without any more trouble: a new worker takes all there is and ends it."""
        self.pass_time(3600)
        name = acts.register(self.session, self.fresh("w"), lease_seconds=30)
        self.model.beats[name] = self.now
        for run in self.model.runs.values():
            for token, asked in run.asked.items():
                if run.status is RunStatus.WAITING and asked.answer is None:
                    self._answer(run, token, YES)
        for claimed in self._claimed(name, 1000):
            self.succeed(claimed, YES)
        self.rows_say_what_the_model_says()
