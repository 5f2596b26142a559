"""Streaming, nested streaming and nested questions, driven in process: no database, no worker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django_tasks_durable import MemoryStore
from django_tasks_durable.authoring.streaming import StreamItem
from example_project.chat import tasks
from example_project.examples import Example, Stage


def streaming(stage: Stage) -> Mapping[str, Any]:
    """Stream tokens, stop for a question, and go on after it without telling a token twice."""
    ends = {}
    for body in (tasks.tell, tasks.atell):
        store = MemoryStore()
        first = list(body.stream(tasks.STORY, tasks.ENDING, run_id="story", store=store))
        stage.say(" ".join(item.partial for item in first[:-1]))
        stage.say(f"  {first[-1].interrupt['question']} Yes.")
        rest = body.resume("story", True, store=store)
        tokens = [item.partial for item in rest]
        stage.say(" ".join(tokens))
        told = [*(item.partial for item in first[:-1]), *tokens]
        stage.expect(f"tokens of {body.name}, each once", told, f"{tasks.STORY} {tasks.ENDING}".split())
        ends[body.name] = rest.result()
        stage.expect("the result", ends[body.name], f"{tasks.STORY} {tasks.ENDING}")
    return {"tokens": len(told), "results": ends}


def nested_streaming(stage: Stage) -> Mapping[str, Any]:
    """Let the partial results of a nested call pass through, or fold them into one's own."""
    stream = tasks.book.stream(["Claims", "Leases", "Fences"])
    told = [item.partial for item in stream]
    for line in told:
        stage.say(f"  {line}")
    stage.expect("lines told", len(told), 5)
    written = stream.result()
    stage.expect("chapters", written, ["Claims (3 pages)", "Leases (2 pages)", "Fences (2 pages)"])
    return {"lines": told, "chapters": written}


def nested_interrupts(stage: Stage) -> Mapping[str, Any]:
    """Ask in nested calls, and answer by token, in another order than was asked."""
    store, people = MemoryStore(), ["Ada", "Grace", "Edsger"]
    first = _told(stage, tasks.poll.stream(people, run_id="poll", store=store))
    stage.expect("the chairman is asked alone", [item.interrupt for item in first][-1], {"whom": "Ada"})
    _told(stage, tasks.poll.resume("poll", "aye", store=store))
    waiting = {wait["request"]["whom"]: wait["token"] for wait in store.snapshot(store.find("poll").id)["waits"]}
    stage.expect("then the others, at once", sorted(waiting), ["Edsger", "Grace"])
    _told(stage, tasks.poll.resume("poll", "nay", token=waiting["Edsger"], store=store))
    last = tasks.poll.resume("poll", "aye", token=waiting["Grace"], store=store)
    _told(stage, last)
    votes = last.result()
    stage.expect("votes", votes, {"Ada": "Ada: aye", "Grace": "Grace: aye", "Edsger": "Edsger: nay"})
    return {"votes": votes}


def _told(stage: Stage, items: Iterable[StreamItem]) -> list[StreamItem]:
    told = list(items)
    for item in told:
        stage.say(f"  ? {item.interrupt}" if item.kind == "interrupt" else f"  {item.partial}")
    return told


EXAMPLES = [
    Example("streaming", "tokens are streamed, a question stops them, the answer lets them go on", streaming),
    Example("nested-streaming", "a task calls others and forwards, or folds, what they stream", nested_streaming),
    Example("nested-interrupts", "nested tasks ask; answers find them by token, in any order", nested_interrupts),
]
