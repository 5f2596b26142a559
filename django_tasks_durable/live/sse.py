"""The same words as server-sent events: subscriptions, and one task's partial results. No library is needed to hear them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from uuid import UUID

from django.core.handlers.asgi import ASGIRequest
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.views.decorators.http import require_GET

from django_tasks_durable.conf import Options, get_options
from django_tasks_durable.exceptions import RunNotFound
from django_tasks_durable.primitives import clock
from django_tasks_durable.primitives.status import FINISHED
from django_tasks_durable.snapshots import read

from .audience import UNKNOWN, Barred, Viewer, viewer
from .hub import hub
from .looking import Looker
from .news import Frame, frame
from .partials import Event, Partials
from .subscription import Subscription
from .wanted import Refusal, Wanted, position_in, wanted_in

COMMENT_SECONDS = 15.0
# A browser connects again by itself; whoever may not come back is not let in then, and a client that does not read
# cannot make a server keep more than this for it.
STREAM_SECONDS = 300.0
STREAM_BYTES = 16_777_216
RETRY_MILLISECONDS = 2_000
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
STATUS = {"unauthenticated": 401, "forbidden": 403, "not_found": 404, "too_many_sockets": 429}

Events = Callable[[Iterable[Frame]], Iterator[Event]]


@require_GET
def stream(request: HttpRequest, *, backend: str = "default") -> HttpResponseBase:
    """Answer a subscription as a stream of events."""
    try:
        wanted = wanted_in(request.GET)
        who = _viewer(request, get_options(backend))
    except (Refusal, Barred) as refused:
        return _refusal(refused)
    return _streamed(request, wanted, who, _as_events, backend)


@require_GET
def partials(request: HttpRequest, id: UUID, *, backend: str = "default") -> HttpResponseBase:
    """Answer one task's partial results as a stream of events, from ``Last-Event-ID`` or ``after`` on."""
    options = get_options(backend)
    try:
        after = position_in(request.headers.get("Last-Event-ID") or request.GET.get("after", "0"))
        who = _viewer(request, options)
        run = read.one(id, using=options.database, narrow=who.audience.narrow)
    except (Refusal, Barred) as refused:
        return _refusal(refused)
    except RunNotFound:
        return _refusal(Refusal("not_found", "There is no such task, or none that you may see."))
    if run.status in FINISHED and after >= run.last_sequence:
        return HttpResponse(status=204)  # the one answer that stops a browser from connecting again
    wanted = Wanted.of_one(id, after)
    return _streamed(request, wanted, who, Partials(id, who.audience.veil, options.database).events, backend)


def _viewer(request: HttpRequest, options: Options) -> Viewer:
    return viewer(getattr(request, "user", None), getattr(request, "session", None), options)


def _refusal(refused: Refusal | Barred) -> JsonResponse:
    status = STATUS.get(refused.code, 400)
    return JsonResponse({"detail": refused.message, "code": refused.code}, status=status, headers=HEADERS)


def _streamed(request: HttpRequest, wanted: Wanted, who: Viewer, events: Events, backend: str) -> StreamingHttpResponse:
    if isinstance(request, ASGIRequest):
        body: AsyncIterator[str] | Iterator[str] = _told(request, wanted, who, events, backend)
    else:
        body = _looked_for(request, wanted, who, events, backend)
    return StreamingHttpResponse(body, content_type="text/event-stream", headers=HEADERS)


class Bounds:
    """How long a stream lasts, and how much it carries."""

    def __init__(self, options: Options) -> None:
        self._ends_at = clock.monotonic() + STREAM_SECONDS
        self._left = STREAM_BYTES
        self._every = options.reauthorise_seconds
        self._next_look = clock.monotonic() + self._every

    def count(self, text: str) -> str:
        """Take what is sent into account."""
        self._left -= len(text)
        return text

    @property
    def are_reached(self) -> bool:
        """Whether it is time to end."""
        return self._left < 0 or clock.monotonic() >= self._ends_at

    @property
    def is_time_to_ask(self) -> bool:
        """Whether it is time to ask again who may see what; true once each time."""
        if clock.monotonic() < self._next_look:
            return False
        self._next_look = clock.monotonic() + self._every
        return True


async def _told(request: HttpRequest, wanted: Wanted, who: Viewer, events: Events, backend: str) -> AsyncIterator[str]:
    """Stream what the hub tells, on the event loop."""
    here = hub(backend)
    something = asyncio.Event()
    bounds = Bounds(here.options)
    subscription = Subscription(wanted, who.audience, here, something.set)
    try:
        with here.seat(who):
            try:
                await here.join(subscription)
                subscription.may_begin = True
                yield f"retry: {RETRY_MILLISECONDS}\n\n"
                while not bounds.are_reached:
                    if bounds.is_time_to_ask:
                        _same(await here.read(_viewer, request, here.options), who)
                    if subscription.pause == 0:
                        told = await subscription.take()
                        # What a stream shows beside its frames is looked up, so not on the loop.
                        for event in await here.read(_listed, events, told):
                            yield bounds.count(_text(*event))
                            if event[0].type == "end":
                                return
                        continue
                    pause = subscription.pause
                    try:
                        await asyncio.wait_for(
                            something.wait(), COMMENT_SECONDS if pause is None else min(pause, COMMENT_SECONDS)
                        )
                    except TimeoutError:
                        yield bounds.count(": still here\n\n")
                    something.clear()
            finally:
                here.leave(subscription)
    except Barred as barred:
        yield _text(frame("error", code=barred.code, message=barred.message))
    except DatabaseError:
        return  # the client connects again, and is told from where it was


def _looked_for(request: HttpRequest, wanted: Wanted, who: Viewer, events: Events, backend: str) -> Iterator[str]:
    """Stream what the thread that serves the client finds by looking: there is no event loop here."""
    options = get_options(backend)
    bounds = Bounds(options)
    looker = Looker(wanted, who.audience, options.database)
    said_at = clock.monotonic()
    yield f"retry: {RETRY_MILLISECONDS}\n\n"
    while not bounds.are_reached:
        with contextlib.suppress(DatabaseError):
            if bounds.is_time_to_ask:
                try:
                    _same(_viewer(request, options), who)
                except Barred as barred:
                    yield _text(frame("error", code=barred.code, message=barred.message))
                    return
            for event in events(looker.look()):
                said_at = clock.monotonic()
                yield bounds.count(_text(*event))
                if event[0].type == "end":
                    return
        if clock.monotonic() - said_at >= COMMENT_SECONDS:
            said_at = clock.monotonic()
            yield ": still here\n\n"
        time.sleep(options.poll_seconds)


def _same(now: Viewer, before: Viewer) -> None:
    if now != before:
        raise Barred(UNKNOWN, "changed", "You may see something else now. Connect again.")


def _as_events(told: Iterable[Frame]) -> Iterator[Event]:
    return ((each, None) for each in told)


def _listed(events: Events, told: list[Frame]) -> list[Event]:
    return list(events(told))


def _text(told: Frame, id: int | None = None) -> str:
    return f"event: {told.type}\n" + ("" if id is None else f"id: {id}\n") + f"data: {told.body}\n\n"
