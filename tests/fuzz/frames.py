"""Frames that nobody would think of, made from a seed: right ones, nearly right ones, and what is no frame at all."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

WORDS = (
    "", "default", "tenant-ann", "tenant-bob", "a\0b", "\ud800", "\u202egnp", "' OR 1=1 --", "%", "*", "💥" * 30, "x" * 501,
    "__proto__", "NaN", "0199", "shop.tasks.pay", "scope:workspace:42", "kind:shop.tasks.pay",
)  # fmt: skip
NUMBERS = (0, 1, -1, 2, 17, 100, 500, 501, 2**31 - 1, 2**31, 2**53, 2**63, 10**40, 0.5, -0.0, 1e300)
LITERALS = ("NaN", "Infinity", "-Infinity", "1e999", "9" * 5_000, '"\\ud800"', "{}", "[]", "null")
TYPES = ("subscribe", "unsubscribe", "ping", "pong", "hello", "bootstrap", "enqueue", "SUBSCRIBE", "batch", "error")
FIELDS = (
    "type",
    "id",
    "query",
    "after",
    "steps",
    "limit",
    "aggregate",
    "n",
    "v",
    "task_id",
    "backend",
    "using",
    "user",
)
PARTS = ("ids", "task_paths", "queue_names", "channels", "keys", "id", "status", "args", "parent_id")
KEYS = ("dedupe", "supersede", "idempotency", "run", "secret")


class Frames:
    """Makes frames, the same ones for the same seed. ``ids`` are of tasks that there are, somebody else's among them."""

    def __init__(self, seed: int, ids: Sequence[str]) -> None:
        self._random = random.Random(seed)
        self._ids = [*ids, str(UUID(int=self._random.getrandbits(128))), ids[0].upper(), ids[0].replace("-", "")]
        self._kinds: list[Callable[[], str | bytes]] = [
            *[self._subscribe] * 6, *[self._bent] * 6, self._pong, self._unsubscribe, self._wild, self._cut, self._literal,
            self._deep, self._huge, self._bytes, self._twice,
        ]  # fmt: skip

    def next(self) -> str | bytes:
        """Return the next frame, text or bytes."""
        return self._random.choice(self._kinds)()

    def _right(self) -> dict[str, Any]:
        pick, some = self._random.choice, self._random.random
        frame: dict[str, Any] = {"type": "subscribe", "id": pick(["default", "a", 7, -1, "x" * 64])}
        if some() < 0.8:
            frame["query"] = pick(
                [{}, {"ids": self._some_ids()}, {"queue_names": [pick(WORDS[1:4])]}, {"channels": [pick(WORDS[-2:])]},
                 {"keys": {pick(KEYS[:4]): "x"}}]
            )  # fmt: skip
        if some() < 0.5:
            frame["after"] = {each: pick(NUMBERS[:9]) for each in self._some_ids()}
        if some() < 0.3:
            frame |= {"steps": self._random.randint(0, 200), "limit": self._random.randint(1, 500)}
        if some() < 0.3:
            frame["aggregate"] = True
        return frame

    def _subscribe(self) -> str:
        return json.dumps(self._right())

    def _bent(self) -> str:
        """Return a right frame in which one thing is wrong, or two."""
        frame = self._right()
        for _ in range(self._random.randint(1, 2)):
            place: Any = frame
            for name in ("query", "after"):
                if self._random.random() < 0.4 and isinstance(frame.get(name), dict):
                    place = frame[name]
            name = self._random.choice([*FIELDS, *PARTS, *self._ids])
            place[name] = self._anything(3)
        return json.dumps(frame)

    def _pong(self) -> str:
        return json.dumps({"type": "pong", "n": self._random.choice([*NUMBERS, None, "1", [1], True])})

    def _unsubscribe(self) -> str:
        return json.dumps({"type": "unsubscribe", "id": self._anything(1)})

    def _wild(self) -> str:
        return json.dumps(self._anything(4))

    def _cut(self) -> str:
        text = self._subscribe()
        return text[: self._random.randrange(len(text))]

    def _literal(self) -> str:
        name, literal = self._random.choice(FIELDS), self._random.choice(LITERALS)
        return f'{{"type": "subscribe", "{name}": {literal}}}'

    def _deep(self) -> str:
        return self._random.choice(["[", '{"query":', '{"type":"subscribe","query":[']) * self._random.choice(
            [10, 5_000]
        )

    def _huge(self) -> str:
        text = json.dumps({"type": "ping", "filler": "x" * self._random.choice([65_000, 70_000, 1_000_000])})
        return text if self._random.random() < 0.5 else text[:-1]

    def _bytes(self) -> bytes:
        return self._random.choice([b"", self._random.randbytes(64), self._subscribe().encode()])

    def _twice(self) -> str:
        return f'{{"type": "ping", "type": {json.dumps(self._anything(1))}, "id": 1, "id": {json.dumps(self._anything(1))}}}'

    def _some_ids(self) -> list[str]:
        return self._random.sample(self._ids, self._random.randint(0, len(self._ids)))

    def _anything(self, depth: int) -> Any:
        pick = self._random.choice
        plain = [None, True, False, pick(NUMBERS), pick(WORDS), pick(self._ids), pick(TYPES)]
        if not depth or self._random.random() < 0.5:
            return pick(plain)
        several = [
            self._anything(depth - 1) for _ in range(self._random.choice([0, 1, 2, 3, 501]) if depth == 1 else 2)
        ]
        if self._random.random() < 0.5:
            return several
        return {pick([*FIELDS, *PARTS, *KEYS, *self._ids]): each for each in several}
