"""What a link leads to, as it stands when somebody follows it."""

from __future__ import annotations

from dataclasses import dataclass

from django_tasks_durable.conf import durable_aliases, get_options
from django_tasks_durable.exceptions import (
    AlreadyResolved,
    BadLink,
    DeadlinePassed,
    LinkExpired,
    NotAskedYet,
    NotWaiting,
)
from django_tasks_durable.primitives import links
from django_tasks_durable.snapshots import read, waits
from django_tasks_durable.snapshots.parts import WaitSnapshot
from django_tasks_durable.snapshots.shapes import RunSnapshot

from .rates import expect_room, place_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A good link, and the run that it leads to."""

    link: links.Link
    run: RunSnapshot
    using: str

    def question(self) -> WaitSnapshot:
        """Return the question, if it still takes an answer. Raise what forbids it."""
        wait = waits.wait_at(self.run.id, self.link.path, using=self.using)
        if wait is not None and wait.answered_at is not None:
            raise AlreadyResolved(self.link.path)
        if self.run.is_finished or (wait is not None and wait.is_consumed):
            raise NotWaiting(self.run.id, self.run.state.value)
        if wait is None:
            raise NotAskedYet(self.run.id, self.link.path)
        if wait.deadline is not None and wait.deadline <= self.run.read_at:
            raise DeadlinePassed(self.run.id, wait.deadline, wait.token)
        return wait


def follow(kind: str, signed: str, *, caller: str) -> Opened:
    """Open a link for whoever calls from an address. Raise BadLink, TooOften, LinkExpired or RunNotFound.

    Wrong links are counted by the caller and good ones each by itself: behind a proxy many callers may have one address, and
    nobody's wrong link is to hold up another's good one.
    """
    try:
        link = links.read(kind, signed)
    except BadLink:
        for alias in durable_aliases()[:1]:
            expect_room(get_options(alias).wrong_link_rate, "wrong_link", place_of(caller))
        raise
    expect_room(get_options(link.backend).link_rate, "link", f"{kind} {signed}")
    using = get_options(link.backend).database
    run = read.one(link.run_id, using=using)
    if link.expires_at is not None and link.expires_at <= run.read_at:
        raise LinkExpired(link.expires_at)
    return Opened(link=link, run=run, using=using)
