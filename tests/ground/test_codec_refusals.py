"""What the codec refuses, with the place of it, and what it survives."""

from __future__ import annotations

import threading
from collections import UserDict
from dataclasses import dataclass, make_dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.utils.translation import gettext_lazy

from django_tasks_durable.exceptions import NotSerializable, PayloadTooLarge
from django_tasks_durable.primitives import codec

from . import shapes


class Liar(dict[str, Any]):
    """A dict that cannot be read."""

    def items(self) -> Any:
        raise RuntimeError("no")

    def __iter__(self) -> Any:
        raise RuntimeError("no")

    def __len__(self) -> int:
        raise RuntimeError("no")


class Boastful:
    """An object whose every word raises."""

    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("no")


@dataclass
class Broken:
    """A dataclass with a property that raises in place of a field."""

    value: int = 1

    def __getattribute__(self, name: str) -> Any:
        if name == "value":
            raise RuntimeError("no")
        return object.__getattribute__(self, name)


class Never(datetime):
    """A datetime that is none, as pandas' NaT is."""

    def isoformat(self, *args: Any, **kwargs: Any) -> str:
        return "NaT"


@dataclass
class Here:
    """A dataclass with a field to look into."""

    when: Any


cyclic: list[Any] = []
cyclic.append(cyclic)
twice: list[Any] = []
twice += [twice, twice]
doubling: list[Any] = []
for _ in range(60):
    doubling = [doubling, doubling]
wide: list[Any] = [0] * 3000
wide = [[wide] * 3000] * 3000


def local_class() -> Any:
    @dataclass
    class Local:
        x: int

    return Local(1)


@pytest.mark.fault("F35")
@pytest.mark.parametrize(
    ("value", "path", "problem"),
    [
        (float("nan"), "value", "nan is not a number"),
        ([1.0, float("inf")], "value[1]", "inf is not a number"),
        ({"rows": [0, 1, 2, Here({"when": object()})]}, 'value["rows"][3].when["when"]', "Unsupported type: an object"),
        ({"a": (1, {2, float("-inf")})}, 'value["a"][1][*]', "-inf is not a number"),
        ("a\x00b", "value", "NUL character"),
        ({"a\x00": 1}, "value", "NUL character"),
        (["\ud800"], "value[0]", "lone surrogate"),
        (["\udcff\udcff"], "value[0]", "lone surrogate"),
        ({"\ud800": 1}, "value", "lone surrogate"),
        ({1: "a"}, "value", "key 1 is an int"),
        ({"x": {None: "a"}}, 'value["x"]', "key None is a NoneType"),
        ({"x": {True: "a"}}, 'value["x"]', "key True is a bool"),
        ({(1, 2): "a"}, "value", "key (1, 2) is a tuple"),
        (shapes.Mood.GLAD, "value", "pass its .value"),
        ([Decimal("NaN")], "value[0]", "NaN is not a number"),
        (Decimal("-Infinity"), "value", "is not a number"),
        (object(), "value", "Unsupported type"),
        (lambda: 0, "value", "function"),
        (range(3), "value", "pass list() of it"),
        ((n for n in "ab"), "value", "read it first"),
        (bytearray(b"x"), "value", "pass bytes() of it"),
        (memoryview(b"x"), "value", "pass bytes() of it"),
        (1j, "value", "complex"),
        (Path("x"), "value", "pass str() of it"),
        (gettext_lazy("x"), "value", "lazy translation"),
        (UserDict(a=1), "value", "Unsupported type"),
        (Group(name="unsaved"), "value", "not saved"),
        (int, "value", "Unsupported type"),
        (shapes.Point, "value", "Unsupported type"),
        (ValueError("x"), "value", "Unsupported type"),
        (local_class(), "value", "cannot be found again by its name"),
        (make_dataclass("Made", ["x"])(1), "value", "cannot be found again by its name"),
        (Never(2026, 1, 1), "value", "no point in time"),
        ([Boastful()], "value[0]", "Unsupported type"),
        (Broken(), "value", "raised RuntimeError when it was read"),
        ({"deep": cyclic}, None, "more than 64 deep"),
    ],
)
def test_it_is_refused_with_its_place(value: Any, path: str | None, problem: str) -> None:
    with pytest.raises(NotSerializable) as caught:
        codec.encode(value)
    if path is not None:
        assert caught.value.path == path
    assert problem in caught.value.problem


@pytest.mark.fault("F34")
@pytest.mark.parametrize("value", [twice, doubling, (doubling,), wide], ids=["twice", "doubling", "in a tuple", "wide"])
@pytest.mark.timeout(60)  # without a bound it would take for ever
def test_a_value_that_holds_itself_many_times_over_ends_soon(value: Any) -> None:
    with pytest.raises(PayloadTooLarge):
        codec.encode(value, limit=262_144)
    assert len(codec.fingerprint([value], {})) == 32


def test_a_dict_that_lies_is_told_by_what_it_holds() -> None:
    assert codec.decode(codec.encode({"x": Liar(a=1)})) == {"x": {"a": 1}}


def test_the_name_of_the_value_begins_the_path() -> None:
    with pytest.raises(NotSerializable, match=r'^args\[0\]\["x"\] cannot be stored'):
        codec.encode([{"x": object()}], where="args")


def test_a_refusal_is_a_type_error_as_django_wants_it() -> None:
    with pytest.raises(TypeError, match="Unsupported type"):
        codec.encode(lambda: True)


def test_quotes_in_a_key_do_not_blur_the_place() -> None:
    with pytest.raises(NotSerializable) as caught:
        codec.encode({'a"]["b': object()})
    assert caught.value.path == 'value["a\\"][\\"b"]'


def test_a_pair_of_surrogates_that_is_one_character_is_text() -> None:
    assert codec.decode(codec.encode("😀")) == "😀"
    assert codec.decode(codec.encode({"😀": ["\\ud800 in words", "\\u0000 in words"]})) == {
        "😀": ["\\ud800 in words", "\\u0000 in words"]
    }


@pytest.mark.fault("F34")
def test_a_full_call_stack_is_survived() -> None:
    answers: list[BaseException | str] = []

    def dive(depth: int) -> None:
        try:
            dive(depth + 1)
        except RecursionError:
            # Where not even the call has room, a frame further out tries again.
            if not answers:
                try:
                    answers.append(codec.encode({"a": [(1, 2)] * 3}))
                except NotSerializable as refusal:
                    answers.append(refusal)

    thread = threading.Thread(target=dive, args=(0,))
    thread.start()
    thread.join()
    assert len(answers) == 1


def test_a_mutable_value_is_not_changed_by_being_stored() -> None:
    value = {"a": [(1,), {2}], "$x": {"$tuple": [1]}}
    codec.encode(value)
    assert value == {"a": [(1,), {2}], "$x": {"$tuple": [1]}}


def test_fingerprints_tell_arguments_apart() -> None:
    told = [
        codec.fingerprint(args, kwargs)
        for args, kwargs in [
            ((), {}),
            ((1,), {}),
            (("1",), {}),
            ((), {"a": 1}),
            ((1, 2), {}),
            (((1, 2),), {}),
            (([1, 2],), {}),
            ((None,), {}),
            (({"a": 1},), {}),
            ((1.0,), {}),
        ]
    ]
    assert len(set(told)) == len(told)
    assert all(len(each) == 32 for each in told)


def test_a_fingerprint_does_not_depend_on_the_order_of_keywords() -> None:
    assert codec.fingerprint((), {"a": 1, "b": {"x": 1, "y": 2}}) == codec.fingerprint(
        (), {"b": {"y": 2, "x": 1}, "a": 1}
    )


@pytest.mark.parametrize(
    "value", [object(), [Boastful()], [Broken()], cyclic, twice, float("nan"), "\ud800", {1: 2}, lambda: 0]
)
def test_a_fingerprint_never_raises_and_is_stable(value: Any) -> None:
    assert codec.fingerprint([value], {"k": value}) == codec.fingerprint([value], {"k": value})


def test_two_objects_of_one_type_count_as_one() -> None:
    assert codec.fingerprint([object(), 1], {}) == codec.fingerprint([object(), 1], {})
    assert codec.fingerprint([object(), 1], {}) != codec.fingerprint([object(), 2], {})
