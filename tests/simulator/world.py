"""The world of one seed: workers that claim, die, stand still and come back, while people call, answer and cancel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

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
from django_tasks_durable.models import Wait
from django_tasks_durable.primitives import clock
from django_tasks_durable.primitives.status import FINISHED
from django_tasks_durable.primitives.writes import Verdict
from django_tasks_durable.store import children, claims, control, intake, maintenance, messages, vendors, workers
from django_tasks_durable.store.commit import Busy, commit
from django_tasks_durable.store.lending import lent
from django_tasks_durable.store.unique import Reused

from . import programs
from .actors import Actor
from .oracle import FEW, Oracle

USING = "default"
LEASE_SECONDS = 30.0
WORKERS = 3
RUNS = 5
ROUNDS = 400
TASKS = ("follow", "afollow")
LEAPS = (0.1, 1, 11, 31, 120)


@dataclass(eq=False)
class Crew:
    """One simulated worker process: its name in the database, and the attempts in its hands."""

    name: str
    paths: list[str]
    actors: list[Actor] = field(default_factory=list)
    stands_still: bool = False


class World:
    """One seed, played: a phase of faults, then one without, after which everything must have ended."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.session = vendors.session(USING)
        self.connections = lent()
        self.oracle = Oracle()
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
            options |= {"concurrency_key": "few", "concurrency_limit": FEW, "hold_key": self.random.random() < 0.2}
        if self.random.random() < 0.2:
            options["run_after"] = clock.host_now() + timedelta(seconds=self.random.choice(programs.NAPS))
        called = task.using(**options) if options else task
        accepted = intake.accept(called, [program], {}, using=USING, backend_alias="default")
        before = self.oracle.open_with(name, key) if key else []
        if isinstance(accepted, Reused):
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
        self._answer(Wait.objects.filter(kind="interrupt"))

    def _answer(self, found: QuerySet[Wait]) -> None:
        waits = list(found.order_by("id").values_list("run_id", "path", "token", "answer", "deadline"))
        if not waits:
            return
        run_id, path, token, given, deadline = self.random.choice(waits)
        value = f"{path} {self.random.randint(0, 1)}"
        try:
            control.resume(run_id, value, using=USING, token=token)
        except AlreadyResolved:
            assert given is not None
            assert self.oracle.answers[run_id, path] != value
        except (NotWaiting, DeadlinePassed):
            pass
        else:
            assert self.oracle.answers.setdefault((run_id, path), value) == value, "a second answer was taken"
            if given is None:
                assert deadline is None or deadline > clock.host_now(), "an answer was taken after its deadline"
                self._tell(f"answer {run_id} {path}")

    def post(self) -> None:
        """Send a message to a run that will receive it."""
        for run_id, (_, program, _) in self.random.sample(
            sorted(self.oracle.programs.items()), len(self.oracle.programs)
        ):
            if self.posted[run_id] < programs.asked(program):
                try:
                    messages.send(run_id, "post", self.posted[run_id], using=USING)
                except TakesNoMessages:
                    continue
                self.posted[run_id] += 1
                self._tell(f"post {run_id}")
                return

    def _any_run(self) -> UUID | None:
        return self.random.choice(sorted(self.oracle.programs)) if self.oracle.programs else None

    def cancel(self) -> None:
        """Ask for a run to be cancelled."""
        if (run_id := self._any_run()) is not None:
            before = self.oracle.status(run_id)
            after = control.cancel(run_id, using=USING, reason="simulated")
            assert before not in FINISHED or after is before
            if before not in FINISHED:
                self.oracle.cancelled(run_id)
            self._tell(f"cancel {run_id}: {after}")

    def retry(self) -> None:
        """Have a run that failed or was cancelled go on."""
        if (run_id := self._any_run()) is not None:
            try:
                control.retry(run_id, using=USING)
            except (InvalidTransition, KeyHeld):
                return
            self.oracle.retried(run_id)
            self._tell(f"retry {run_id}")

    def hurry(self) -> None:
        """Make a run due now."""
        if (run_id := self._any_run()) is not None:
            try:
                control.run_now(run_id, using=USING)
            except InvalidTransition:
                return
            self._tell(f"hurry {run_id}")

    # --- what workers do

    def _enter(self) -> Crew:
        self.named += 1
        # Now and then a worker of another release, which does not know every task.
        known = [self.random.choice(TASKS)] if self.random.random() < 0.2 else TASKS
        crew = Crew(f"crew-{self.seed}-{self.named}", [f"tests.simulator.programs.{name}" for name in known])
        workers.register(self.session, crew.name, queues=None, concurrency=4, lease_seconds=LEASE_SECONDS)
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

    def _claim(self, crew: Crew, limit: int) -> None:
        wanted = claims.Wanted(worker_id=crew.name, task_paths=crew.paths)
        try:
            with self.session.transaction():
                claimed = claims.claim(self.session, wanted, limit=limit)
        except claims.WorkerDeclaredDead:
            self._tell(f"{crew.name} hears that it is dead")
            self._replace(crew)
            return
        for run in claimed:
            assert run.task_path in crew.paths, f"{crew.name} does not know {run.task_path}"
            self.oracle.claimed(run)
            crew.actors.append(Actor(run, crew.name, self.connections, USING))
            self._tell(f"{crew.name} claims {run.run_id} token {run.lease.token}")

    def go_on(self) -> None:
        """Let one attempt go on to where it next stands."""
        if (crew := self._any_crew()) is not None and crew.actors:
            self._go_on(self.random.choice(crew.actors))

    def _go_on(self, actor: Actor) -> None:
        # Only an atomic step writes while an attempt goes on.
        with self.oracle.unchanged_if_stale(actor.claimed):
            actor.step()
        assert actor.raised is None, actor.raised
        if actor.is_gone:
            (crew,) = [crew for crew in self.crews if actor in crew.actors]
            self._tell(f"{crew.name} dies of {actor.claimed.run_id}")
            self._replace(crew)

    def _go_on_all(self, crew: Crew) -> None:
        for actor in crew.actors:
            if crew in self.crews:
                self._go_on(actor)

    def tick(self) -> None:
        """Let a worker commit what its attempts have handed in."""
        if (crew := self._any_crew()) is not None:
            self._tick(crew)

    def _tick(self, crew: Crew, *, is_heard: bool = True) -> None:
        taken = [(actor, change) for actor in crew.actors if (change := actor.take()) is not None]
        if not taken:
            self._let_go(crew)
            return
        with self.session.transaction():
            stale = [actor.claimed for actor, _ in taken if self.oracle.is_stale(actor.claimed)]
            before = [self.oracle.traces(claimed.run_id) for claimed in stale]
            answers = commit(self.session, [delta for _, (delta, _) in taken])
            assert before == [self.oracle.traces(claimed.run_id) for claimed in stale], "a stale attempt has written"
        for actor, (delta, futures) in taken:
            verdict = answers[actor.claimed.run_id]
            assert not isinstance(verdict, Busy), "nobody else holds the row"
            assert isinstance(verdict, LeaseLost) == (actor.claimed in stale)
            self._tell(f"{crew.name} commits {actor.claimed.run_id} {delta.status or ''}: {type(verdict).__name__}")
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
        was_dead = self.oracle.is_dead(crew.name)
        heard = workers.beat(
            self.session,
            crew.name,
            with_keys=[actor.claimed.run_id for actor in crew.actors if actor.claimed.holds_keys],
        )
        assert heard.alive is not was_dead
        if not heard.alive:
            self._tell(f"{crew.name} hears that it is dead")
            self._replace(crew)
            return
        for run_id, token, reason in heard.cancelled:
            for actor in crew.actors:
                if (actor.claimed.run_id, actor.claimed.lease.token) == (run_id, token):
                    actor.control.stop(RunCancelled(reason))

    def sweep(self) -> None:
        """Let somebody look for dead workers and take what they held."""
        if self._any_crew() is not None:
            dead = workers.declare_dead(self.session)
            swept = workers.sweep(self.session)
            if dead or swept:
                self._tell(f"sweep: {dead} {swept}")

    def keep_house(self) -> None:
        """Let somebody wake what is overdue, and look after parents and children."""
        maintenance.wake_overdue(self.session)
        children.tend(self.session)

    def shut_down(self) -> None:
        """Let a worker give back what it holds, and leave."""
        if (crew := self._any_crew()) is None:
            return
        self._tell(f"{crew.name} shuts down")
        for actor in crew.actors:
            actor.control.stop(ShuttingDown())
        for _ in range(ROUNDS):
            if not crew.actors or crew not in self.crews:
                break
            self._go_on_all(crew)
            self._tick(crew)
        assert not crew.actors, f"{crew.name} does not come to its end"
        if crew in self.crews:
            workers.leave(self.session, crew.name)
            self._replace(crew)

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
        self._go_on(actor)
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
            crew.paths = [f"tests.simulator.programs.{name}" for name in TASKS]
        for _ in range(ROUNDS):
            if not self.oracle.are_open():
                return
            self._round()
        raise AssertionError(f"these never end: {self.oracle.are_open()}")

    def _round(self) -> None:
        for crew in list(self.crews):
            self._beat(crew)
        self.sweep()
        self.keep_house()
        self._answer(Wait.objects.filter(kind="interrupt", answer=None))
        self.post()
        for crew in list(self.crews):
            self._claim(crew, 4)
            self._go_on_all(crew)
            self._tick(crew)
        self.oracle.look()
        clock.advance(5)


def without_sync() -> None:
    """Let SQLite forget about the disk: nothing here outlives its process."""
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA synchronous = OFF")
