"""Tasks that talk: they yield what they have so far, and ask."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator
from typing import Any

from django_tasks_durable import task
from django_tasks_durable.engine.context import DurableContext

STORY = "Once upon a time a worker was killed and nobody noticed"
ENDING = "because another went on from the last checkpoint"


def model(prompt: str) -> Iterator[str]:
    """Stand in for a language model: the same tokens each time."""
    yield from prompt.split()


@task
def tell(context: DurableContext, story: str, ending: str) -> Generator[str, None, str]:
    """Tell a story token by token, and ask before the ending."""
    told = []
    for token in model(story):
        told.append(token)
        yield token
    answer = context.interrupt({"question": "Shall I go on?"})
    if answer:
        for token in model(ending):
            told.append(token)
            yield token
    return " ".join(told)


@task
async def atell(context: DurableContext, story: str, ending: str) -> AsyncIterator[str]:
    """See tell. An async generator cannot return a value: it hands it to ``context.finish``."""
    told = []
    for token in model(story):
        told.append(token)
        yield token
    if await context.ainterrupt({"question": "Shall I go on?"}):
        for token in model(ending):
            told.append(token)
            yield token
    context.finish(" ".join(told))


@task(expose=True)
def chapter(context: DurableContext, title: str, pages: int) -> Generator[str, None, str]:
    """Write the pages of one chapter."""
    for page in range(1, pages + 1):
        yield f"{title}, page {page}"
    return f"{title} ({pages} pages)"


@task
def book(context: DurableContext, titles: list[str]) -> Generator[Any, None, list[str]]:
    """Write chapters one after the other; the first one's pages pass through, of the others only the end is told."""
    written = [(yield from context.call(chapter, titles[0], 3))]
    for title in titles[1:]:
        call = context.call(chapter, title, 2)
        drafts = list(call)
        yield f"{title}: {len(drafts)} pages drafted"
        written.append(call.value)
    return written


@task(expose=True)
def ask(context: DurableContext, whom: str) -> Generator[str, None, str]:
    """Ask somebody and say what they answered."""
    yield f"asking {whom}"
    answer = context.interrupt({"whom": whom})
    yield f"{whom} says {answer}"
    return f"{whom}: {answer}"


@task
def poll(context: DurableContext, people: list[str]) -> Generator[Any, None, dict[str, str]]:
    """Ask a chairman first, then everybody else at once."""
    chairman = yield from context.call(ask, people[0])
    votes = context.gather({name: ask.bind(name) for name in people[1:]})
    yield f"{len(votes)} votes"
    return {people[0]: chairman, **votes}
