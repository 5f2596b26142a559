"""Notices what was committed, whoever committed it, and tells all that listen in one process: one hub for each event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, ParamSpec, TypeVar
from uuid import UUID
from weakref import WeakKeyDictionary

from django_tasks_durable.conf import get_options
from django_tasks_durable.snapshots import hubs
from django_tasks_durable.snapshots.bootstrap import Aggregate, aggregate
from django_tasks_durable.snapshots.hubs import HubStatus
from django_tasks_durable.store.vendors import listening

from . import layers
from .audience import TOO_MANY, Barred, Viewer
from .ear import Ear, ids_in
from .news import Position
from .reading import Readers
from .subscription import Subscription
from .tail import News, Tail
from .viewers import Viewers
from .watch import Watch

logger = logging.getLogger("django_tasks_durable.live")
P = ParamSpec("P")
T = TypeVar("T")

READY_SECONDS = 10.0
COUNT_SECONDS = 2.0


class Hub:
    """Tells the subscriptions of one event loop what was committed to one database. It works while anybody listens."""

    def __init__(self, backend: str) -> None:
        self.options = get_options(backend)
        self.using = self.options.database
        self.watch = Watch()
        self.viewers = Viewers(self.shared, self.options)
        self._loop = asyncio.get_running_loop()
        self._readers = Readers()
        self._clients: Counter[str] = Counter()
        self._subscriptions: dict[str, set[Subscription]] = defaultdict(set)
        self._by_id: dict[UUID, set[Subscription]] = defaultdict(set)
        self._broad: set[Subscription] = set()
        self._asked: dict[str, asyncio.Future[Any]] = {}
        self._tail: Tail | None = None
        self._ear: Ear | None = None
        self._layer: asyncio.Task[None] | None = None
        self._chores: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._mode = "poll"
        self._counted = False

    @property
    def status(self) -> HubStatus:
        """How the hub stands."""
        tail = self._tail
        hears = tail is not None and tail.is_hinted
        error = (self._ear.last_error if self._ear else "") or (tail.last_error if tail else "")
        return HubStatus(
            using=self.using,
            mode=self._mode if hears or tail is None else "poll",
            is_degraded=tail is not None and not hears and self._mode != "poll",
            subscriptions=sum(map(len, self._subscriptions.values())),
            clients=self._clients.total(),
            error=error,
        )

    # --- clients

    @contextmanager
    def seat(self, viewer: Viewer) -> Iterator[None]:
        """Count a client while it is here. Raise Barred for one too many of a user."""
        if self._clients[viewer.name] >= self.options.sockets_per_user:
            raise Barred(TOO_MANY, "too_many_sockets", "You have too many connections open.")
        self._clients[viewer.name] += 1
        try:
            yield
        finally:
            self._clients[viewer.name] -= 1
            self._clients += Counter()  # forgets those at none
            self.stop_if_idle()

    async def read(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function that looks at the database, on a thread for it."""
        return await self._readers.read(function, *args, **kwargs)

    async def shared(self, key: str, function: Callable[[], T]) -> T:
        """Call a function that looks at the database, once for all who ask for the same before it has begun."""
        waiting = self._asked.get(key) if key else None
        if waiting is None:
            waiting = asyncio.ensure_future(self.read(partial(self._begin_call, key, function)))
            if key:
                self._asked[key] = waiting
                waiting.add_done_callback(lambda done: self._forget_call(key, done))
        found: T = await asyncio.shield(waiting)
        return found

    def _begin_call(self, key: str, function: Callable[[], T]) -> T:
        # From here on it may miss what is committed, so nobody may join it any more.
        self._asked.pop(key, None)
        return function()

    def _forget_call(self, key: str, done: asyncio.Future[Any]) -> None:
        if self._asked.get(key) is done:
            del self._asked[key]
        if not done.cancelled():
            done.exception()

    def note(self, positions: Mapping[UUID, Position]) -> None:
        """Hear what a client was told at the beginning."""
        if self._tail is not None:
            self._tail.note(positions)

    # --- subscriptions

    async def join(self, subscription: Subscription) -> None:
        """Tell a subscription all that is committed from now on; after this it may read what was before."""
        self._subscriptions[subscription.audience.key].add(subscription)
        for run_id in subscription.wanted.ids:
            self._by_id[run_id].add(subscription)
        if not subscription.wanted.ids:
            self._broad.add(subscription)
        self.watch.add(subscription.audience, subscription.wanted.ids)
        if self._tail is None:
            self._start()
        with contextlib.suppress(TimeoutError):  # the database is away; the tail tells, and looks again
            await asyncio.wait_for(self._ready.wait(), READY_SECONDS)

    def leave(self, subscription: Subscription) -> None:
        """Tell a subscription nothing more."""
        group = self._subscriptions.get(subscription.audience.key, set())
        if subscription not in group:
            return
        group.discard(subscription)
        if not group:
            del self._subscriptions[subscription.audience.key]
        self._broad.discard(subscription)
        for run_id in subscription.wanted.ids:
            self._by_id[run_id].discard(subscription)
            if not self._by_id[run_id]:
                del self._by_id[run_id]
        self.watch.remove(subscription.audience, subscription.wanted.ids)
        self.stop_if_idle()

    def _deliver(self, news: News) -> None:
        """Hand news to those who asked for it and may see it. Called on the loop."""
        self._ready.set()
        if news.is_too_much:
            for subscription in self._broad:
                subscription.lose("database")
        for each in news.runs:
            for subscription in (*self._by_id.get(each.id, ()), *self._broad):
                if each.id in news.seen_by.get(subscription.audience.key, ()):
                    subscription.offer(each)
        self._counted = False

    # --- the house

    def _start(self) -> None:
        self._ready = asyncio.Event()
        deliver = partial(_call_on, self._loop, self._deliver)
        self._tail = Tail(self.using, self.watch, deliver, poll_seconds=self.options.poll_seconds)
        hints = listening.hints(self.options.listen_database or self.using, listening.RUNS)
        if hints is not None and self.options.listen:
            self._mode = hints.mode
            self._ear = Ear(hints, self._tail)
            self._ear.start()
        elif self.options.channel_layer and layers.crosses(self.options.channel_layer):
            self._mode = "layer"
            self._layer = asyncio.ensure_future(self._hear_layer(self._tail, self.options.channel_layer))
        self._tail.start()
        self._chores = asyncio.ensure_future(self._mind())

    def stop_if_idle(self) -> None:
        """Have the threads end when nobody is here."""
        if self._clients or self._subscriptions:
            return
        self.stop()

    def stop(self) -> None:
        """Have the threads end, and their connections. The next subscription begins them anew."""
        for task in (self._layer, self._chores):
            if task is not None:
                task.cancel()
        for thread in (self._ear, self._tail):
            if thread is not None:
                thread.stop()
        self._layer = self._chores = self._ear = self._tail = None
        self._readers.close()

    async def _mind(self) -> None:
        """Look after the ear, and count again for those who want counts."""
        while True:
            await asyncio.sleep(COUNT_SECONDS)
            if self._ear is not None:
                self._ear.look_after()
            if not self._counted:
                self._counted = True
                with contextlib.suppress(Exception):  # what keeps it from counting is told by the tail
                    await self._count()

    async def _count(self) -> None:
        """Count for each group that wants the same counts, once."""
        groups: dict[str, list[Subscription]] = defaultdict(list)
        for subscription in (each for group in self._subscriptions.values() for each in group):
            if subscription.wanted.aggregate:
                groups[f"{subscription.audience.key} {subscription.wanted.query!r}"].append(subscription)
        for members in groups.values():
            first = members[0]
            counts: Aggregate = await self.read(
                aggregate, first.wanted.query, using=self.using, narrow=first.audience.narrow
            )
            for member in members:
                member.count(counts)

    async def _hear_layer(self, tail: Tail, alias: str) -> None:
        """Hear hints that come by the channel layer."""
        channel = ""
        while (layer := layers.reaching(alias)) is not None:
            try:
                channel = channel or await layer.new_channel()
                await layer.group_add(layers.GROUP, channel)
                if not tail.is_hinted:
                    tail.is_hinted = True
                    tail.resync()
                # A layer that is there may still give up waiting: then it is joined again, and asked again.
                with contextlib.suppress(Exception):
                    while True:
                        self._hear_message(tail, await layer.receive(channel))
                tail.look_everywhere()
                await asyncio.sleep(0.05)
            except Exception as error:
                if tail.is_hinted:
                    logger.warning("The channel layer is away (%s); polling meanwhile", error)
                tail.is_hinted = False
                tail.look_everywhere()
                await asyncio.sleep(1.0)

    def _hear_message(self, tail: Tail, message: Mapping[str, Any]) -> None:
        if ids := message.get("task_ids"):
            tail.hint(run_id for text in ids for run_id in ids_in(str(text)))
        else:
            tail.look_everywhere()


def _call_on(loop: asyncio.AbstractEventLoop, function: Callable[[News], None], news: News) -> None:
    # A loop that has ended tells nobody.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(function, news)


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Hub]] = WeakKeyDictionary()


def hub(backend: str = "default") -> Hub:
    """Return the hub of the running event loop."""
    here = _hubs.setdefault(asyncio.get_running_loop(), {})
    options = get_options(backend)
    found = here.get(backend)
    if found is None or found.options != options:
        found = here[backend] = Hub(backend)
    return found


def statuses() -> list[HubStatus]:
    """Tell how the hubs of this process stand; none where nobody has listened yet."""
    return [each.status for here in list(_hubs.values()) for each in list(here.values())]


hubs.told_by(statuses)
