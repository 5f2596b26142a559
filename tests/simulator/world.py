"""The world of one seed: workers that claim, die, stand still and come back, while people call, answer and cancel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from django_tasks_durable.exceptions import (
    AlreadyResolved,
    DeadlinePassed,
    InvalidTransition,
    KeyHeld,
    LeaseLost,
    NotWaiting,
    RunCancelled,
    ShuttingDown,
    TakesNoMessages,
)
from django_tasks_durable.primitives import clock
from django_tasks_durable.primitives.status import FINISHED
from django_tasks_durable.primitives.writes import Verdict

from . import programs
from .actors import Actor
from .ground import FEW, FEW_KEY, LEASE_SECONDS, DeclaredDead, Ground
from .oracle import Oracle

WORKERS = 3
RUNS = 5
ROUNDS = 400
TASKS = ("follow", "afollow")
EVERY_PATH = [getattr(programs, name).module_path for name in (*TASKS, "pulse")]
LEAPS = (0.1, 1, 11, 31, 120)
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
#: By how many seconds the clock of a worker's host is wrong; what counts is the database's.
WRONG_BY = (0, 0, 0, 300, -3600)


@dataclass(eq=False)
class Crew:
    """One simulated worker process: its name in the database, and the attempts in its hands."""

    name: str
    paths: list[str]
    wrong_by: timedelta
    actors: list[Actor] = field(default_factory=list)
    stands_still: bool = False
    #: The schedules that it saw to be due, perhaps long ago.
    due: list[int] = field(default_factory=list)


class HostClock:
    """The clock of the host that is at work, which may be wrong; the database's is the frozen one."""

    def __init__(self) -> None:
        self.wrong_by = timedelta(0)

    def now(self) -> datetime:
        """See clock.host_now()."""
        frozen = clock.frozen_at()
        assert frozen is not None, "a world's time stands still until it is moved on"
        return frozen + self.wrong_by


HOST = HostClock()


@contextmanager
def at(crew: Crew) -> Iterator[None]:
    """Do something on the host of a worker."""
    HOST.wrong_by = crew.wrong_by
    try:
        yield
    finally:
        HOST.wrong_by = timedelta(0)


class World:
    """One seed, played: a phase of faults, then one without, after which everything must have ended."""

    def __init__(self, seed: int, random: Random, ground: Ground) -> None:
        self.seed = seed
        self.random = random
        self.ground = ground
        self.oracle = Oracle(ground)
        self.told: list[str] = []
        self.named = 0
        self.posted: Counter[UUID] = Counter()
        self.crews = [self._enter() for _ in range(WORKERS)]

    def play(self, acts: int) -> None:
        """Play the seed. Raise AssertionError, with all that was done, when a promise is broken."""
        try:
            for _ in range(acts):
                self._act()()
                self.oracle.look()
            self._calm_down()
            self.oracle.judge()
        finally:
            for crew in self.crews:
                for actor in crew.actors:
                    actor.kill()

    def _act(self) -> Callable[[], None]:
        acts: dict[Callable[[], None], int] = {
            self.call: 6,
            self.claim: 10,
            self.go_on: 40,
            self.tick: 25,
            self.beat: 6,
            self.sweep: 6,
            self.leap: 8,
            self.keep_house: 6,
            self.answer: 8,
            self.post: 5,
            self.cancel: 1,
            self.retry: 2,
            self.hurry: 1,
            self.look_at_schedules: 4,
            self.fire: 3,
            self.kill: 3,
            self.kill_after_commit: 2,
            self.kill_in_atomic: 1,
            self.stand_still: 3,
            self.wake_up: 3,
            self.shut_down: 1,
        }
        (chosen,) = self.random.choices(list(acts), weights=list(acts.values()))
        return chosen

    def _tell(self, words: str) -> None:
        self.told.append(words)

    # --- what callers and operators do

    def call(self) -> None:
        """Enqueue a run, if there are not too many."""
        if len(self.oracle.programs) >= RUNS:
            return
        name = self.random.choice(TASKS)
        program = programs.drawn(self.random)
        task = getattr(programs, name)
        key = self.random.choice(["", "", "dedupe_key", "supersede_key"])
        options: dict[str, Any] = {key: "k"} if key else {}
        if self.random.random() < 0.4:
            options |= {"concurrency_key": FEW_KEY, "concurrency_limit": FEW, "hold_key": self.random.random() < 0.2}
        if self.random.random() < 0.2:
            options["run_after"] = clock.host_now() + timedelta(seconds=self.random.choice(programs.NAPS))
        called = task.using(**options) if options else task
        accepted = self.ground.accept(called, program)
        before = self.oracle.open_with(name, key) if key else []
        if not accepted.is_new:
            assert key == "dedupe_key"
            assert before == [accepted.run_id], f"{accepted} stands for none of {before}"
            self._tell(f"call of {name} reused {accepted.run_id}")
            return
        assert not (key == "dedupe_key" and before), f"{before} has the key already"
        assert list(accepted.superseded) == (before if key == "supersede_key" else [])
        for loser in accepted.superseded:
            self.oracle.may_be_cancelled.add(loser)
        self.oracle.called(accepted.run_id, name, program, key)
        self._tell(f"call {name} {program} {key} -> {accepted.run_id}")

    def answer(self) -> None:
        """Answer a question, now and then one that was answered before."""
        self._answer(open_only=False)

    def _answer(self, *, open_only: bool) -> bool:
        asked = self.ground.questions(open_only=open_only)
        if not asked:
            return False
        run_id, path, token, given, deadline = self.random.choice(asked)
        value = f"{path} {self.random.randint(0, 1)}"
        try:
            self.ground.resume(run_id, value, token)
        except AlreadyResolved:
            assert given is not None
            assert self.oracle.answers[run_id, path] != value
        except (NotWaiting, DeadlinePassed):
            return False
        else:
            assert self.oracle.answers.setdefault((run_id, path), value) == value, "a second answer was taken"
            if given is None:
                assert deadline is None or deadline > clock.host_now(), "an answer was taken after its deadline"
                self._tell(f"answer {run_id} {path}")
        return given is None

    def post(self) -> None:
        """Send a message to a run that will receive it."""
        self._post()

    def _post(self) -> bool:
        for run_id, (_, program, _) in self.random.sample(
            sorted(self.oracle.programs.items()), len(self.oracle.programs)
        ):
            if self.posted[run_id] < programs.asked(program):
                try:
                    self.ground.send(run_id, "post", self.posted[run_id])
                except TakesNoMessages:
                    continue
                self.posted[run_id] += 1
                self._tell(f"post {run_id}")
                return True
        return False

    def _any_run(self) -> UUID | None:
        return self.random.choice(sorted(self.oracle.programs)) if self.oracle.programs else None

    def cancel(self) -> None:
        """Ask for a run to be cancelled."""
        if (run_id := self._any_run()) is not None:
            before = self.ground.status(run_id)
            after = self.ground.cancel(run_id)
            assert before not in FINISHED or after is before
            if before not in FINISHED:
                self.oracle.cancelled(run_id)
            self._tell(f"cancel {run_id}: {after}")

    def retry(self) -> None:
        """Have a run that failed or was cancelled go on."""
        if (run_id := self._any_run()) is not None:
            try:
                self.ground.retry(run_id)
            except (InvalidTransition, KeyHeld):
                return
            self.oracle.retried(run_id)
            self._tell(f"retry {run_id}")

    def hurry(self) -> None:
        """Make a run due now."""
        if (run_id := self._any_run()) is not None:
            try:
                self.ground.hurry(run_id)
            except InvalidTransition:
                return
            self._tell(f"hurry {run_id}")

    # --- what workers do

    def _enter(self) -> Crew:
        self.named += 1
        # Now and then a worker of another release, which does not know every task.
        known = [self.random.choice(EVERY_PATH)] if self.random.random() < 0.2 else EVERY_PATH
        wrong_by = timedelta(seconds=self.random.choice(WRONG_BY))
        crew = Crew(f"crew-{self.seed}-{self.named}", known, wrong_by)
        self.ground.enter(crew.name)
        return crew

    def _any_crew(self) -> Crew | None:
        able = [crew for crew in self.crews if not crew.stands_still]
        return self.random.choice(able) if able else None

    def _replace(self, crew: Crew) -> None:
        for actor in crew.actors:
            actor.kill()
        self.crews[self.crews.index(crew)] = self._enter()

    def claim(self) -> None:
        """Let a worker claim what is due."""
        if (crew := self._any_crew()) is not None:
            self._claim(crew, self.random.randint(1, 3))

    def _claim(self, crew: Crew, limit: int) -> bool:
        try:
            with at(crew):
                claimed = self.ground.claim(crew.name, crew.paths, limit)
        except DeclaredDead:
            self._tell(f"{crew.name} hears that it is dead")
            self._replace(crew)
            return True
        for run in claimed:
            assert run.task_path in crew.paths, f"{crew.name} does not know {run.task_path}"
            self.oracle.claimed(run)
            crew.actors.append(Actor(run, crew.name, self.ground))
            self._tell(f"{crew.name} claims {run.run_id} token {run.lease.token}")
        return bool(claimed)

    def go_on(self) -> None:
        """Let one attempt go on to where it next stands."""
        if (crew := self._any_crew()) is not None and crew.actors:
            self._go_on(crew, self.random.choice(crew.actors))

    def _go_on(self, crew: Crew, actor: Actor) -> None:
        # Only an atomic step writes while an attempt goes on.
        with self.oracle.unchanged_if_stale(actor.claimed), at(crew):
            actor.step()
        assert actor.raised is None, actor.raised
        if actor.is_gone:
            self._tell(f"{crew.name} dies of {actor.claimed.run_id}")
            self._replace(crew)

    def _go_on_all(self, crew: Crew) -> None:
        for actor in crew.actors:
            if crew in self.crews:
                self._go_on(crew, actor)

    def tick(self) -> None:
        """Let a worker commit what its attempts have handed in."""
        if (crew := self._any_crew()) is not None:
            self._tick(crew)

    def _tick(self, crew: Crew, *, is_heard: bool = True) -> None:
        taken = [(actor, change) for actor in crew.actors if (change := actor.take()) is not None]
        if not taken:
            self._let_go(crew)
            return
        stale = [actor.claimed for actor, _ in taken if self.ground.is_stale(actor.claimed)]
        before = [self.ground.traces(claimed.run_id) for claimed in stale]
        with at(crew):
            answers = self.ground.commit([handed for _, (handed, _) in taken])
        assert before == [self.ground.traces(claimed.run_id) for claimed in stale], "a stale attempt has written"
        for actor, ((_, _, writes), futures) in taken:
            verdict = answers[actor.claimed.run_id]
            assert isinstance(verdict, LeaseLost) == (actor.claimed in stale)
            done = " ".join(type(write).__name__ for write in writes)
            self._tell(f"{crew.name} commits {actor.claimed.run_id} {done}: {type(verdict).__name__}")
            if is_heard:
                self._hear(actor, verdict, futures)
        self._let_go(crew)

    def _hear(self, actor: Actor, verdict: Verdict | LeaseLost, futures: list[Future[Verdict]]) -> None:
        for future in futures:
            if isinstance(verdict, LeaseLost):
                future.set_exception(verdict)
            else:
                future.set_result(verdict)
        if isinstance(verdict, Verdict) and verdict.cancel_requested:
            actor.control.stop(RunCancelled())

    def _let_go(self, crew: Crew) -> None:
        crew.actors = [actor for actor in crew.actors if not (actor.is_over and not actor.writes and not actor.futures)]

    def beat(self) -> None:
        """Let a worker say that it lives."""
        if (crew := self._any_crew()) is not None:
            self._beat(crew)

    def _beat(self, crew: Crew) -> None:
        was_dead = self.ground.is_dead(crew.name)
        with at(crew):
            heard = self.ground.beat(
                crew.name, [actor.claimed.run_id for actor in crew.actors if actor.claimed.holds_keys]
            )
        assert heard.alive is not was_dead
        if not heard.alive:
            self._tell(f"{crew.name} hears that it is dead")
            self._replace(crew)
            return
        for actor in crew.actors:
            if (actor.claimed.run_id, actor.claimed.lease.token) in heard.cancelled:
                actor.control.stop(RunCancelled())

    def sweep(self) -> None:
        """Let somebody look for dead workers and take what they held."""
        if (crew := self._any_crew()) is not None:
            self._sweep(crew)

    def _sweep(self, crew: Crew) -> None:
        with at(crew):
            found = self.ground.sweep()
        if found:
            self._tell(f"{crew.name} sweeps: {found}")

    def keep_house(self) -> None:
        """Let somebody wake what is overdue, and look after parents and children."""
        self.ground.keep_house()

    def look_at_schedules(self) -> None:
        """Let a worker see which schedules are due."""
        if (crew := self._any_crew()) is not None:
            with at(crew):
                crew.due = self.ground.look_at_schedules()

    def fire(self) -> None:
        """Let a worker decide the tick that it saw to be due; another may have been faster."""
        if able := [crew for crew in self.crews if crew.due and not crew.stands_still]:
            crew = self.random.choice(able)
            with at(crew):
                has_fired = self.ground.fire(crew.due[0])
            self._tell(f"{crew.name} fires: {has_fired}")

    def shut_down(self) -> None:
        """Let a worker give back what it holds, and leave."""
        if (crew := self._any_crew()) is None:
            return
        self._tell(f"{crew.name} shuts down")
        for actor in crew.actors:
            actor.control.stop(ShuttingDown())
        self._work_off(crew)
        if crew in self.crews:
            self.ground.leave(crew.name)
            self._replace(crew)

    def _work_off(self, crew: Crew) -> None:
        """Let a worker bring all that it holds to an end, unless it dies of it."""
        for _ in range(ROUNDS):
            if not crew.actors or crew not in self.crews:
                return
            self._go_on_all(crew)
            self._tick(crew)
        raise AssertionError(f"{crew.name} does not come to its end")

    # --- what happens to workers

    def kill(self) -> None:
        """Kill a worker wherever its attempts stand; one that stands still, too."""
        crew = self.random.choice(self.crews)
        self._tell(f"{crew.name} is killed")
        self._replace(crew)

    def kill_after_commit(self) -> None:
        """Kill a worker between its commit and the answer."""
        if (crew := self._any_crew()) is not None:
            self._tick(crew, is_heard=False)
            self._tell(f"{crew.name} is killed before it hears")
            self._replace(crew)

    def kill_in_atomic(self) -> None:
        """Let an attempt go on, and kill its worker if that is in the middle of an atomic step."""
        if (crew := self._any_crew()) is None or not crew.actors:
            return
        actor = self.random.choice(crew.actors)
        actor.dies_in_atomic = True
        self._go_on(crew, actor)
        actor.dies_in_atomic = False

    def stand_still(self) -> None:
        """Stop a worker, as SIGSTOP does."""
        if (crew := self._any_crew()) is not None:
            crew.stands_still = True
            self._tell(f"{crew.name} stands still")

    def wake_up(self) -> None:
        """Let a worker go on that stood still, without its knowing that it did."""
        for crew in self.crews:
            if crew.stands_still:
                crew.stands_still = False
                self._tell(f"{crew.name} goes on")
                return

    def leap(self) -> None:
        """Let time pass."""
        clock.advance(self.random.choice(LEAPS))

    # --- the phase without faults

    def _calm_down(self) -> None:
        for crew in self.crews:
            crew.stands_still = False
            crew.paths = EVERY_PATH
        for _ in range(ROUNDS):
            if not self.oracle.are_open():
                return
            is_busy = self._round()
            clock.advance(0.1 if is_busy else self._idle_seconds())
        raise AssertionError(f"these never end: {self.oracle.are_open()}")

    def _idle_seconds(self) -> float:
        """Tell how long nothing will happen: no run is due, and nobody's silence is long enough."""
        due = [moment - self.ground.now() for moment in self.ground.due_next()]
        return min([LEASE_SECONDS + 1, *(wait.total_seconds() for wait in due)])

    def _round(self) -> bool:
        """Let everybody say that they live, and one of them do all there is to do. Tell whether there was anything."""
        for crew in list(self.crews):
            self._beat(crew)
        self.sweep()
        self.keep_house()
        self.oracle.look()
        is_busy = self._answer(open_only=True)
        is_busy |= self._post()
        chosen = self.random.choice(self.crews)
        is_busy |= self._claim(chosen, 2 * RUNS)
        for crew in list(self.crews):
            is_busy |= bool(crew.actors)
            self._work_off(crew)
        self.oracle.look()
        return is_busy
