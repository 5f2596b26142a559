"""Every bound, at n and at n + 1; and the page of threats, whose figures and tests are those of the code."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from django_tasks_durable.authoring import keys
from django_tasks_durable.conf import HARD_PAYLOAD_BYTES, problems_in
from django_tasks_durable.engine import notes, records
from django_tasks_durable.exceptions import DurableError, InvalidChannel, InvalidKey, NotSerializable, PayloadTooLarge
from django_tasks_durable.executors.output import HEAD_BYTES, TAIL_BYTES, CapturedStream
from django_tasks_durable.live import said, wanted
from django_tasks_durable.primitives import channels, codec, failures

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "explanation" / "threat-model.md"


def nested(depth: int) -> Any:
    """Return a list with so many levels below it."""
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


def a_frame(size: int) -> str:
    """Return a frame of so many bytes, in characters of three bytes."""
    text = "\u20ac" * ((size - 20) // 3)
    frame = json.dumps({"a": text}, ensure_ascii=False)
    return frame + " " * (size - len(frame.encode()))


def query(**parts: Any) -> Callable[[], object]:
    """Ask over the WebSocket."""
    return lambda: wanted.wanted({"query": parts})


def asked(**fields: Any) -> Callable[[], object]:
    """Subscribe over the WebSocket with these fields."""
    return lambda: wanted.wanted(fields)


def option(name: str, value: Any) -> Callable[[], object]:
    """Set an option."""

    def read() -> None:
        if problems := problems_in({name: value}):
            raise ValueError(problems[0].message)

    return read


IDS = [str(uuid4()) for _ in range(501)]
TOLD = {str(uuid4()): 1 for _ in range(1001)}
BOUNDS: dict[str, tuple[Callable[[], object], Callable[[], object], type[Exception]]] = {
    "payload": (
        lambda: codec.encode("x" * 98, limit=100), lambda: codec.encode("x" * 99, limit=100), PayloadTooLarge,
    ),
    "payload, whatever is set": (
        lambda: codec.encode("x" * (HARD_PAYLOAD_BYTES - 2), limit=2**40),
        lambda: codec.encode("x" * (HARD_PAYLOAD_BYTES - 1), limit=2**40),
        PayloadTooLarge,
    ),
    "depth of a payload": (lambda: codec.encode(nested(64)), lambda: codec.encode(nested(65)), NotSerializable),
    "channels of a run": (
        lambda: channels.explicit([f"a:{n}" for n in range(50)]),
        lambda: channels.explicit([f"a:{n}" for n in range(51)]),
        InvalidChannel,
    ),
    "name of a channel": (
        lambda: channels.explicit(["a:" + "x" * 198]), lambda: channels.explicit(["a:" + "x" * 199]), InvalidChannel,
    ),
    "key of a run": (
        lambda: keys.expect_key("dedupe_key", "x" * 1000), lambda: keys.expect_key("dedupe_key", "x" * 1001), InvalidKey,
    ),
    "frame of the WebSocket": (
        lambda: said.parsed(a_frame(65_536)), lambda: said.parsed(a_frame(65_537)), wanted.Refusal,
    ),
    "name of a subscription": (
        lambda: said.name_of({"id": "x" * 64}), lambda: said.name_of({"id": "x" * 65}), wanted.Refusal,
    ),
    "number of a subscription": (
        lambda: said.name_of({"id": 2**53 - 1}), lambda: said.name_of({"id": 2**53}), wanted.Refusal,
    ),
    "ids of a subscription": (query(ids=IDS[:500]), query(ids=IDS), wanted.Refusal),
    "words of a subscription": (query(channels=["a"] * 100), query(channels=["a"] * 101), wanted.Refusal),
    "word of a subscription": (query(task_paths=["x" * 500]), query(task_paths=["x" * 501]), wanted.Refusal),
    "positions of a subscription": (
        asked(after=dict(list(TOLD.items())[:1000])), asked(after=TOLD), wanted.Refusal,
    ),
    "sequence of a subscription": (asked(after={IDS[0]: 2**31 - 1}), asked(after={IDS[0]: 2**31}), wanted.Refusal),
    "lines of a bootstrap": (asked(steps=200), asked(steps=201), wanted.Refusal),
    "runs of a bootstrap": (asked(limit=500), asked(limit=501), wanted.Refusal),
    "max_payload_bytes": (
        option("max_payload_bytes", 10 * 2**20), option("max_payload_bytes", 10 * 2**20 + 1), ValueError,
    ),
    "sockets_per_user": (option("sockets_per_user", 100_000), option("sockets_per_user", 100_001), ValueError),
}  # fmt: skip


@pytest.mark.fault("F34")
@pytest.mark.parametrize("name", BOUNDS)
def test_n_is_taken_and_one_more_is_refused(name: str) -> None:
    most, more, refusal = BOUNDS[name]
    most()
    with pytest.raises(refusal):
        more()


@pytest.mark.parametrize(
    ("cut", "most"),
    [
        (lambda text: records.printable(text, notes.LABEL_LENGTH), 200),
        (records.printable, 2000),
        (lambda text: failures.error_record(ValueError(text)).message, 2000),
        (lambda text: failures.cut(text, failures.TRACEBACK_BYTES), 8192),
    ],
    ids=["label", "line", "message of an error", "traceback"],
)
def test_a_text_of_n_is_kept_and_a_longer_one_is_cut(cut: Callable[[str], str], most: int) -> None:
    assert cut("x" * most) == "x" * most
    assert cut("x" * (most + 1)) != "x" * (most + 1)
    assert len(cut("x" * (most + 1))) <= most


def test_a_stream_of_n_is_kept_and_of_a_longer_one_the_middle_goes() -> None:
    import os

    for more, gap in ((0, False), (1, True)):
        reading, writing = os.pipe()
        stream = CapturedStream("stderr", reading, lambda chunk: None)
        os.write(writing, b"x" * (HEAD_BYTES + TAIL_BYTES + more))
        os.close(writing)
        stream.read()
        assert ("1 bytes left out" in stream.text) is gap
        stream.close()


def test_every_refusal_is_one_that_a_door_can_tell() -> None:
    assert all(issubclass(each, DurableError | wanted.Refusal | ValueError) for _, _, each in BOUNDS.values())


def test_the_figures_of_the_page_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| [^|]+ \| ([\d,]+)[^|]* \| `([\w.]+):(\w+)` \|", PAGE.read_text(), re.MULTILINE)
    assert len(rows) >= 15
    for told, module, name in rows:
        owner: Any = import_module(f"django_tasks_durable.{module}")
        value = getattr(owner.Options(), name) if name.islower() else getattr(owner, name)
        assert int(told.replace(",", "")) == value, (module, name)


def test_every_test_that_the_page_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE.read_text())
    assert len(named) >= 20
    for file, function in named:
        text = (ROOT / file).read_text()
        names = {
            node.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        assert not function or function in names, f"{file}::{function}"
