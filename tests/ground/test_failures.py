"""Exceptions as data."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError

from django_tasks_durable.exceptions import Drift, NonRetryable, NotSerializable, StepFailed
from django_tasks_durable.primitives.codec import decode_error, encode_error, error_record
from django_tasks_durable.primitives.failures import TRACEBACK_BYTES, cut

from . import shapes


def raised(error: BaseException) -> BaseException:
    """Give an exception the traceback of having been raised."""
    try:
        raise error
    except BaseException as caught:
        return caught


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no"),
        ValueError(),
        KeyError("key"),
        ZeroDivisionError("division by zero"),
        OSError(2, "No such file", "/x"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"),
        StopIteration({"answer": (1, 2)}),
        IntegrityError("duplicate"),
        ValidationError("bad %(x)s", code="c", params={"x": 1}),
        NonRetryable("stop"),
        NotSerializable("value[1]", "it is odd"),
        Drift("scope", 3, "charge", "refund"),
        StepFailed("gone", "shop.Gone"),
        shapes.Refusal(7, reason="closed"),
        TimeoutError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_exception_comes_back_as_what_it_was(error: Exception) -> None:
    back = decode_error(encode_error(raised(error)))
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert back.args == error.args


def test_its_own_attributes_come_back() -> None:
    back = decode_error(encode_error(shapes.Refusal(7, reason="closed")))
    assert isinstance(back, shapes.Refusal)
    assert (back.code, back.reason) == (7, "closed")


@pytest.mark.seed("AW-P13")
def test_its_cause_and_context_come_back() -> None:
    error = raised(ValueError("outer"))
    error.__cause__ = KeyError("inner")
    back = decode_error(encode_error(error))
    assert isinstance(back.__cause__, KeyError)
    other = ValueError("later")
    other.__context__ = TypeError("before")
    again = decode_error(encode_error(other))
    assert again.__cause__ is None
    assert isinstance(again.__context__, TypeError)


def test_a_circle_of_causes_ends() -> None:
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert str(decode_error(encode_error(first))) == "a"


def test_a_long_chain_of_causes_is_cut() -> None:
    error = ValueError("0")
    for number in range(1, 500):
        outer = ValueError(str(number))
        outer.__cause__ = error
        error = outer
    assert len(encode_error(error)) < 4000


def test_arguments_that_cannot_be_stored_leave_class_and_message() -> None:
    back = decode_error(encode_error(ValueError(object)))
    assert isinstance(back, StepFailed)
    assert back.exception_class_path == "builtins.ValueError"
    assert str(back) == "<class 'object'>"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), asyncio.CancelledError(), GeneratorExit()])
def test_what_is_no_exception_is_never_made_again(error: BaseException) -> None:
    assert isinstance(decode_error(encode_error(error)), StepFailed)


def test_a_local_class_leaves_its_message() -> None:
    class Local(Exception):
        pass

    back = decode_error(encode_error(Local("here")))
    assert isinstance(back, StepFailed)
    assert str(back) == "here"


def test_reading_an_error_imports_nothing() -> None:
    text = json.dumps({"class": "antigravity:Error", "message": "fly", "args": "[]", "state": {}})
    assert isinstance(decode_error(text), StepFailed)
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize("path", ["os:system", "builtins:eval", "builtins:int", "subprocess:Popen", "nowhere", ""])
def test_reading_an_error_makes_exceptions_only(path: str) -> None:
    text = json.dumps({"class": path, "message": "x", "args": '["ls"]', "state": {}})
    assert isinstance(decode_error(text), StepFailed)


def test_reading_an_error_does_not_call_its_constructor() -> None:
    text = encode_error(shapes.Tempting("x"))
    before = shapes.Tempting.calls
    assert isinstance(decode_error(text), shapes.Tempting)
    assert shapes.Tempting.calls == before


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "{}", "{", '{"class": 1}', '"x"', '{"class":"a:b","message":"m","args":"{","state":{}}']
)
def test_a_damaged_error_is_a_failed_step(text: str) -> None:
    assert isinstance(decode_error(text), StepFailed)


def test_a_record_holds_class_message_and_traceback() -> None:
    record = error_record(raised(shapes.Refusal(7, reason="closed")))
    assert record.exception_class_path == "tests.ground.shapes.Refusal"
    assert record.message == "7: closed"
    assert record.traceback.startswith("Traceback (most recent call last):\n")
    assert record.traceback.endswith("tests.ground.shapes.Refusal: 7: closed\n")
    assert record.code == ""


def test_a_record_of_our_own_error_holds_its_code() -> None:
    assert error_record(Drift("", 0, "a", "b")).code == "DRIFT"


def test_a_record_holds_no_locals() -> None:
    password = "hunter2-in-a-variable"
    assert password
    assert "hunter2" not in error_record(raised(ValueError("x"))).traceback.replace('"hunter2-in-a-variable"', "")


def test_an_exception_without_words_is_recorded() -> None:
    record = error_record(raised(shapes.Mute()))
    assert "Mute" in record.message
    assert "Mute" in record.traceback
    assert isinstance(decode_error(encode_error(shapes.Mute())), StepFailed)


@pytest.mark.parametrize("text", ["a\x00b", "\ud800", "😀\udfff", "x" * 1_000_000, "é" * 50_000])
def test_any_text_becomes_storable(text: str) -> None:
    record = error_record(raised(ValueError(text)))
    for told in (record.message, record.traceback):
        assert "\x00" not in told
        told.encode("utf-8")
    assert len(record.message) <= 2000
    assert len(record.traceback.encode()) <= TRACEBACK_BYTES


def test_a_long_traceback_keeps_its_head_and_its_tail() -> None:
    told = cut("HEAD" + "x" * 100_000 + "TAIL", 1000)
    assert told.startswith("HEAD")
    assert told.endswith("TAIL")
    assert "bytes left out" in told
    assert len(told.encode()) <= 1000


def test_a_recursion_error_is_recorded_in_full() -> None:
    def dive() -> Any:
        return dive()

    try:
        dive()
    except RecursionError as error:
        record = error_record(error)
    assert "Previous line repeated" in record.traceback
    assert record.exception_class_path == "builtins.RecursionError"


def test_a_group_of_exceptions_is_recorded() -> None:
    record = error_record(raised(ExceptionGroup("both", [ValueError("a"), TypeError("b")])))
    assert "ValueError: a" in record.traceback
    assert "TypeError: b" in record.traceback
