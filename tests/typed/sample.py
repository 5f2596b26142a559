"""A project that uses every public name, as its users write: no type checker has a word to say about it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from dataclasses import dataclass, field
from uuid import UUID

from django import forms

import django_tasks_durable as durable
from django_tasks_durable import (
    Backoff,
    DatabaseStore,
    DurableBackend,
    DurableTask,
    FileRef,
    KeptSnapshot,
    MemorySnapshots,
    MemoryStore,
    RunOutcome,
    SliceResult,
    SnapshotStore,
    StepCompleted,
    StreamItem,
    Workflow,
    answer_form,
    channel,
    command,
    cron,
    every,
    query,
    task,
    testing,
    transition,
)
from django_tasks_durable.encryption import FernetCodec
from django_tasks_durable.engine.context import DurableContext
from django_tasks_durable.primitives.sealing import PayloadCodec


@answer_form("refund")
class RefundForm(forms.Form):
    """What a person is asked about a refund."""

    euros = forms.IntegerField()


@task(max_attempts=3, backoff=Backoff(first=1, factor=2), schedule=cron("0 6 * * *", tz="Europe/Paris"))
def report(context: DurableContext, number: int = 1) -> FileRef:
    """Make a file."""
    context.progress(10, "begun", pages=3)
    return context.step("render", FileRef.save, f"report {number}", "report.txt")


@task(schedule=every(minutes=5))
def tidy() -> int:
    """Use the words that need no context."""
    durable.log("begun", level="info")
    durable.progress(50, "half")
    if durable.patched("sorted"):
        durable.pause()
    durable.sleep("rest", seconds=1)
    links = [durable.approval_url("go"), durable.webhook_url("paid")]
    answers = [
        durable.approval("go", {"links": links}, timeout=60, default=False),
        durable.webhook("paid", timeout=60, default=None),
        durable.interrupt({"question": "?"}, default="no"),
        durable.wait("told", default=None),
        durable.recv("word", timeout=1, default=None),
        durable.wait_event("opened", timeout=1, default=None),
        durable.poll("ready", lambda: True, every=1),
    ]
    children = [durable.spawn(report, 2)]
    durable.join(*children)
    return len(answers) + int(durable.step("count", len, links)) + durable.get_context().attempt


@task
def chat(context: DurableContext, name: str) -> Generator[str, None, bool]:
    """Yield, ask, and call another task."""
    yield f"hello {name}"
    made = yield from context.call(report, 3)
    child = context.spawn(report, 4)
    again = context.spawn(report, 5, key="again", abandon=True)
    context.join(child, again)
    return bool(made) and context.approval("go", form=RefundForm, permission="shop.refund")


@task
async def achat(context: DurableContext, name: str) -> AsyncIterator[str]:
    """Do it on an event loop."""
    yield await context.astep("greet", agreet, name)
    await context.acall(report, number=1)
    await durable.asend(context.run_id, "word", name)
    await durable.abroadcast("opened")
    context.finish(name)


async def agreet(name: str) -> str:
    """Greet."""
    return f"hello {name}"


class Refund(Workflow, max_attempts=3):
    """A state machine."""

    @dataclass
    class State:
        """What it knows."""

        euros: list[int] = field(default_factory=list)

    state: State

    @transition(to=["paid"], start=True)
    def asked(self) -> str:
        """Ask."""
        self.interrupt({"question": "How much?"})
        return "paid"

    @transition()
    def paid(self) -> None:
        """Pay."""

    @command
    def add(self, euros: int) -> int:
        """Add some."""
        self.state.euros.append(euros)
        return self.total()

    @query
    def total(self) -> int:
        """Sum it up."""
        return sum(self.state.euros)


def enqueue() -> UUID:
    """Enqueue with keys, and act on what comes back."""
    bound: DurableTask[[int], FileRef] = report.using(
        dedupe_key="report:1", priority=5, channels=[channel.scope("workspace:1")]
    )
    result = bound.enqueue(1)
    result.cancel("no longer wanted")
    made: FileRef = report.enqueue(2).return_value
    durable.send(result.id, "word", {"name": made.name})
    durable.broadcast("opened")
    stop = durable.forward(print)
    stop()
    return UUID(result.id)


def drive() -> list[StepCompleted]:
    """Run without a worker."""
    store = MemoryStore()
    with durable.collector() as gathered:
        for item in chat.stream("Ada", run_id="ada", store=store):
            told: StreamItem = item
            if durable.is_partial(told) or durable.is_interrupt(told):
                continue
    outcome: RunOutcome[bool] = chat.invoke_with_state("Bob", store=store)[0]
    advanced: SliceResult = chat.advance("ada", store=store)
    assert advanced or outcome
    return [event for event in gathered.events if durable.is_step_completed(event)]


def keep(run_id: UUID) -> int:
    """Take a run with you."""
    document = durable.export_snapshot(run_id)
    assert durable.looks_like_snapshot(document)
    durable.assert_valid_snapshot(document)
    durable.validate_snapshot(document)
    other = durable.snapshot_of({"render": 1})
    durable.merge_snapshots(other, other)
    lead = durable.compose(durable.rename_key("a", "b"), durable.remove_key("c"), durable.transform_value("d", str))
    durable.restore(lead(document)).into_memory(MemoryStore())
    shelf: SnapshotStore = MemorySnapshots()
    kept: list[KeptSnapshot] = durable.pending_snapshots(shelf)
    durable.has_snapshot(shelf, "a")
    durable.delete_snapshot(shelf, "a")
    durable.delete_snapshots(shelf, ["a"])
    return durable.clear_snapshots(shelf) + len(kept)


async def akeep(document: dict[str, object]) -> None:
    """See keep()."""
    await durable.arestore(document)


def in_a_test() -> None:
    """Drive runs in a test."""
    codec: PayloadCodec = FernetCodec(["k"])
    codec.open(codec.seal("x"))
    with testing.frozen():
        result = chat.enqueue("Ada")
        testing.drain()
        testing.advance(60)
        testing.answer(result, True, key="go")
        with testing.crash_at("render"):
            testing.drain()
        testing.assert_enqueued(chat, args=["Ada"], times=1)
        testing.enqueued(chat)
        testing.replay(result)


NAMES = (DatabaseStore, DurableBackend, durable.__version__, testing.ExecutorContract, testing.SnapshotStoreContract)
