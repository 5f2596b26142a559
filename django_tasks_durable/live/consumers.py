"""The WebSocket: several subscriptions on one socket, told in order, in bounds, and only what may be seen."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from contextlib import ExitStack
from typing import Any

from channels.consumer import AsyncConsumer
from channels.exceptions import StopConsumer
from channels.utils import await_many_dispatch
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError

from django_tasks_durable.primitives import clock

from .audience import SILENT, TOO_MANY, UNKNOWN, Barred
from .hub import Hub, hub
from .news import frame, packed
from .origin import is_from_here
from .said import Name, name_of, parsed
from .subscription import Subscription
from .viewers import Seen
from .wanted import Refusal, wanted

logger = logging.getLogger("django_tasks_durable.live")

PROTOCOL = "dtd.v1"
PING_SECONDS = 20.0
SILENT_SECONDS = 60.0
SHORTEST_SECONDS = 0.05
# So much may be on its way to a client that has not said that it arrived.
WINDOW_BYTES = 1_048_576
PING_BYTES = 65_536
SUBSCRIPTIONS = 100
REFUSALS = 20
FRAMES, FRAMES_SECONDS = 500, 10.0


class TasksConsumer(AsyncConsumer):
    """Speaks ``dtd.v1`` with one client. ``backend`` is the alias in TASKS whose runs are told."""

    backend = "default"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one socket. It joins no group, so it needs no channel layer, and none can take it down."""
        if "user" not in scope and "session" not in scope:
            raise ImproperlyConfigured(
                "Nothing tells the WebSocket who its user is. "
                "Wrap its routes: channels.auth.AuthMiddlewareStack(URLRouter(websocket_urlpatterns))."
            )
        self.scope, self.base_send = scope, send
        self.subscriptions: dict[Name, Subscription] = {}
        self._stack = ExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._something = asyncio.Event()
        self._arrived = asyncio.Event()
        self._on_its_way = 0
        self._unsaid = 0
        self._pings: deque[tuple[int, int, float]] = deque()
        self._pinged = 0
        self._refused = 0
        self._heard: deque[float] = deque(maxlen=FRAMES)
        self._is_open = False
        self.hub: Hub = hub(self.backend)
        try:
            with contextlib.suppress(StopConsumer):
                await await_many_dispatch([receive], self.dispatch)
        finally:
            self._leave()

    # --- coming and going

    async def websocket_connect(self, message: Any) -> None:
        """Let in who may see tasks. A page of another site is turned away before it is heard."""
        if not is_from_here(self.scope):
            await self.send({"type": "websocket.close"})
            return
        # Accepted first: a handshake that is refused reaches a browser as 1006, whatever the reason.
        spoken = PROTOCOL if PROTOCOL in self.scope.get("subprotocols", ()) else None
        await self.send({"type": "websocket.accept", "subprotocol": spoken})
        try:
            self.viewer, self._seen_at = await self._seen(after=clock.monotonic())
            self._stack.enter_context(self.hub.seat(self.viewer))
        except Barred as barred:
            await self._bar(barred)
            return
        self._is_open = True
        await self._say(frame("hello", v=1, ping_seconds=PING_SECONDS).body)
        self._tasks = [asyncio.ensure_future(each) for each in (self._pump(), self._mind())]

    async def websocket_disconnect(self, message: Any) -> None:
        """Let everything of this client go."""
        raise StopConsumer

    def _leave(self) -> None:
        self._is_open = False
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
        self._tasks = []
        for name in list(self.subscriptions):
            self.hub.leave(self.subscriptions.pop(name))
        self._stack.close()
        self.hub.stop_if_idle()

    async def _seen(self, *, after: float) -> Seen:
        return await self.hub.viewers.ask(self.scope.get("user"), self.scope.get("session"), after=after)

    async def _bar(self, barred: Barred) -> None:
        self._is_open = False
        with contextlib.suppress(Exception):  # the client may be gone already
            await self._send(frame("error", code=barred.code, message=barred.message).body)
            await self.send({"type": "websocket.close", "code": barred.close_code})
        self._leave()

    # --- what the client says

    async def websocket_receive(self, message: Any) -> None:
        """Take one frame of the client's. What cannot be understood is answered, not forgiven for ever."""
        if not self._is_open:
            return
        name: Name | None = None
        try:
            said = parsed(message.get("text"))
            name = name_of(said)
            await self._obey(said, name)
        except Refusal as refusal:
            known = {} if name is None else {"id": name}
            told = frame("error", **known, code=refusal.code, message=refusal.message, **refusal.facts)
            await self._say(told.body)
            self._refused += 1
        except Barred as barred:
            await self._bar(barred)
            return
        if self._refused > REFUSALS or self._is_flooding():
            await self._bar(Barred(TOO_MANY, "too_many_frames", "Too many frames, or too many that are wrong."))

    async def _obey(self, said: dict[str, Any], name: Name) -> None:
        match said.get("type"):
            case "subscribe":
                await self._subscribe(said, name)
            case "unsubscribe":
                self._unsubscribe(name)
                await self._say(frame("unsubscribed").to(name))
            case "ping":
                await self._say('{"type":"pong"}')
            case "pong":
                self._take_pong(said.get("n"))
            case _:
                raise Refusal("bad_frame", "type is subscribe, unsubscribe, ping or pong.")

    async def _subscribe(self, said: dict[str, Any], name: Name) -> None:
        asked = wanted(said)
        if name not in self.subscriptions and len(self.subscriptions) >= SUBSCRIPTIONS:
            raise Refusal("too_many_subscriptions", f"A socket holds at most {SUBSCRIPTIONS} subscriptions.")
        self._unsubscribe(name)
        subscription = Subscription(asked, self.viewer.audience, self.hub, self._something.set)
        await self._join(subscription, name)
        await self._say(frame("subscribed").to(name))
        self._something.set()

    async def _join(self, subscription: Subscription, name: Name) -> None:
        self.subscriptions[name] = subscription
        # It is told from here on, and reads what was before only when it is let.
        await self.hub.join(subscription)
        subscription.may_begin = True
        if not self._is_open:
            self.hub.leave(subscription)

    def _unsubscribe(self, name: Name) -> None:
        if (subscription := self.subscriptions.pop(name, None)) is not None:
            self.hub.leave(subscription)

    def _is_flooding(self) -> bool:
        now = clock.monotonic()
        self._heard.append(now)
        return len(self._heard) == FRAMES and now - self._heard[0] < FRAMES_SECONDS

    # --- what is told

    async def _pump(self) -> None:
        """Tell what there is, subscription by subscription, for as long as the client keeps up."""
        while True:
            try:
                wait = await self._tell_all()
            except asyncio.CancelledError:
                raise
            except DatabaseError as error:
                logger.warning("A client could not be told (%s); it begins again", error)
                for subscription in self.subscriptions.values():
                    subscription.lose("database")
                wait = 1.0
            except Exception:
                if self._is_open:
                    logger.exception("A client could not be told and is let go")
                    await self._bar(Barred(1011, "internal", "Something went wrong here. Connect again."))
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._something.wait(), wait)
            self._something.clear()

    async def _tell_all(self) -> float | None:
        """Take once from each subscription that has something; return the seconds to the next time."""
        pauses = []
        for name, subscription in list(self.subscriptions.items()):
            if subscription.pause == 0:
                for text in packed(await subscription.take(), name):
                    if self.subscriptions.get(name) is subscription:
                        await self._tell(text)
            pauses.append(subscription.pause)
        return min((pause for pause in pauses if pause is not None), default=None)

    async def _tell(self, text: str) -> None:
        while self._on_its_way > WINDOW_BYTES:
            self._arrived.clear()
            await self._arrived.wait()
        await self._say(text)

    async def _say(self, text: str) -> None:
        await self._send(text)
        self._on_its_way += len(text)
        self._unsaid += len(text)
        if self._unsaid >= PING_BYTES:
            await self._ping()

    async def _ping(self) -> None:
        self._pinged += 1
        self._pings.append((self._pinged, self._unsaid, clock.monotonic()))
        self._unsaid = 0
        await self._send(f'{{"type":"ping","n":{self._pinged}}}')

    def _take_pong(self, number: Any) -> None:
        if not isinstance(number, int) or number > self._pinged:
            raise Refusal("bad_frame", "n is the number of a ping.")
        while self._pings and self._pings[0][0] <= number:
            self._on_its_way -= self._pings.popleft()[1]
        self._arrived.set()

    async def _send(self, text: str) -> None:
        await self.send({"type": "websocket.send", "text": text})

    # --- while it stays

    async def _mind(self) -> None:
        """Ping, let go of who does not answer, and ask again whether the client may see what it sees."""
        every = self.hub.options.reauthorise_seconds
        next_look = self._seen_at + every
        pinged_at = clock.monotonic()
        while True:
            await asyncio.sleep(min(PING_SECONDS, max(SHORTEST_SECONDS, next_look - clock.monotonic())))
            now = clock.monotonic()
            try:
                if self._pings and now - self._pings[0][2] > SILENT_SECONDS:
                    raise Barred(SILENT, "silent", "A ping went unanswered.")
                if not self._pings and now - pinged_at >= PING_SECONDS:
                    pinged_at = now
                    await self._ping()
                if now >= next_look:
                    next_look = now + every
                    await self._look_again()
                    next_look = self._seen_at + every
            except Barred as barred:
                await self._bar(barred)
                return
            except DatabaseError as error:
                logger.warning("Cannot ask who may see what (%s); asking again", error)

    async def _look_again(self) -> None:
        """Ask the database again; who may see something else now, begins again."""
        now, self._seen_at = await self._seen(after=self._seen_at)
        if now.name != self.viewer.name:
            raise Barred(UNKNOWN, "unauthenticated", "Somebody else is logged in now. Connect again.")
        if now.audience == self.viewer.audience:
            return
        self.viewer = now
        for name, before in list(self.subscriptions.items()):
            self.hub.leave(before)
            after = Subscription(before.wanted, now.audience, self.hub, self._something.set)
            await self._join(after, name)
        self._something.set()
