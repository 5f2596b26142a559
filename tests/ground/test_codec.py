"""What the codec keeps, and how."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import OrderedDict, defaultdict
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import Group
from django.utils.safestring import mark_safe
from hypothesis import given, settings
from hypothesis import strategies as st

from django_tasks_durable.exceptions import NotSerializable, PayloadTooLarge, Unreadable
from django_tasks_durable.primitives import codec

from . import shapes

PARIS = ZoneInfo("Europe/Paris")

storable_text = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
keys = storable_text | st.sampled_from(["$tuple", "$dict", "$", "$int", "$unknown"])
hashables = st.deferred(
    lambda: (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | storable_text
        | st.binary()
        | st.decimals(allow_nan=False, allow_infinity=False)
        | st.uuids()
        | st.dates()
        | st.datetimes()
        | st.datetimes(timezones=st.just(UTC))
        | st.datetimes(timezones=st.sampled_from([PARIS, ZoneInfo("America/New_York"), ZoneInfo("UTC")]))
        | st.times()
        | st.timedeltas()
    )
)
values = st.recursive(
    hashables,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(keys, inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.sets(hashables, max_size=3)
        | st.frozensets(hashables, max_size=3)
        | st.builds(shapes.Point, st.integers(), inner)
        | st.builds(shapes.Pair, inner, inner)
    ),
    max_leaves=12,
)


@pytest.mark.seed("AW-P14")
@given(values)
@settings(max_examples=400, deadline=None)
def test_what_can_be_stored_comes_back_equal_and_of_the_same_type(value: Any) -> None:
    back = codec.decode(codec.encode(value))
    assert back == value
    assert type(back) is type(value)


@given(values)
@settings(max_examples=150, deadline=None)
def test_what_came_back_is_stored_as_the_same_text(value: Any) -> None:
    text, back = codec.round_trip(value)
    assert codec.encode(back) == text


@given(values)
@settings(max_examples=150, deadline=None)
def test_every_stored_value_can_be_shown_as_plain_json(value: Any) -> None:
    json.dumps(codec.readable(codec.encode(value)), allow_nan=False)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | storable_text, lambda i: st.lists(i) | st.dictionaries(keys, i)
    )
)
@settings(max_examples=150, deadline=None)
def test_a_users_json_is_never_taken_for_a_tag(value: Any) -> None:
    assert codec.decode(codec.encode(value)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (False, "false"),
        (True, "true"),
        (0, "0"),
        ("", '""'),
        ([], "[]"),
        ({}, "{}"),
        ({"a": [1, 2.5, "x"]}, '{"a":[1,2.5,"x"]}'),
        ("é", '"\\u00e9"'),
        ((1, 2), '{"$tuple":[1,2]}'),
        ({"$tuple": [1]}, '{"$dict":[["$tuple",[1]]]}'),
        ({"$tuple": 1, "b": 2}, '{"$tuple":1,"b":2}'),
        (Decimal("1.10"), '{"$decimal":"1.10"}'),
        (b"\x00\xff", '{"$bytes":"AP8="}'),
        (timedelta(microseconds=-1), '{"$timedelta":[-1,86399,999999]}'),
        (datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC), '{"$datetime":"2026-01-02T03:04:05.000006+00:00"}'),
        (UUID(int=7), '{"$uuid":"00000000-0000-0000-0000-000000000007"}'),
    ],
)
def test_the_stored_form_is_fixed(value: Any, text: str) -> None:
    assert codec.encode(value) == text
    assert codec.decode(text) == value


def test_a_datetime_keeps_its_zone_by_name_and_its_side_of_the_clock_change() -> None:
    first = datetime(2026, 10, 25, 2, 30, tzinfo=PARIS)
    second = first.replace(fold=1)
    assert [codec.decode(codec.encode(moment)).utcoffset() for moment in (first, second)] == [
        timedelta(hours=2),
        timedelta(hours=1),
    ]
    assert codec.decode(codec.encode(second)).tzinfo is PARIS


def test_a_datetime_without_a_named_zone_keeps_its_offset() -> None:
    moment = datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=5, minutes=45), "Kathmandu"))
    assert codec.decode(codec.encode(moment)) == moment


def test_a_naive_datetime_keeps_its_fold() -> None:
    assert codec.decode(codec.encode(datetime(2026, 1, 1, fold=1))).fold == 1


def test_an_aware_time_with_a_named_zone_survives() -> None:
    assert codec.decode(codec.encode(time(9, tzinfo=PARIS))).tzinfo is PARIS


def test_a_date_is_no_datetime() -> None:
    assert type(codec.decode(codec.encode(date(2026, 1, 1)))) is date


@pytest.mark.parametrize("digits", [1, 16, 1233, 1234, 5000, 100_000])
def test_an_int_of_any_size_survives(digits: int) -> None:
    assert codec.decode(codec.encode([-(10**digits)])) == [-(10**digits)]


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (shapes.Colour.RED, "red"),
        (shapes.Size.BIG, 3),
        (mark_safe("<b>"), "<b>"),
        ({shapes.Colour.RED: 1}, {"red": 1}),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (defaultdict(list, a=[1]), {"a": [1]}),
        (shapes.Odd(x=1), {"x": 1}),
    ],
)
def test_a_subclass_of_a_plain_type_becomes_the_plain_value(value: Any, plain: Any) -> None:
    back = codec.decode(codec.encode(value))
    assert back == plain
    assert type(back) is type(plain)


def test_the_order_of_keys_is_kept() -> None:
    assert list(codec.decode(codec.encode({"z": 1, "a": 2, "m": 3}))) == ["z", "a", "m"]


def test_equal_sets_have_one_text_whatever_the_hash_seed() -> None:
    program = "from django_tasks_durable.primitives import codec; print(codec.encode({'a', 'b', 'c', 'd', 'e', 'f'}))"
    texts = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": "."},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert texts == {codec.encode({"a", "b", "c", "d", "e", "f"}).encode() + b"\n"}


def test_a_dataclass_comes_back_without_its_constructor() -> None:
    text = codec.encode(shapes.Counted(5))
    before = shapes.Counted.made
    assert codec.decode(text) == shapes.Counted(5)
    assert shapes.Counted.made == before + 1  # the one made for the comparison


def test_a_dataclass_with_slots_and_nested_values_survives() -> None:
    parcel = shapes.Parcel("box", [(1, Decimal("2.50")), {"$set": 1}])
    assert codec.decode(codec.encode(parcel)) == parcel


def test_a_field_added_since_gets_its_default() -> None:
    text = codec.encode(shapes.Parcel("box")).replace(',["items",[]]', "")
    assert codec.decode(text) == shapes.Parcel("box")


def test_a_field_added_since_without_a_default_is_named() -> None:
    text = codec.encode(shapes.Point(1)).replace('["x",1],', "")
    with pytest.raises(Unreadable, match="new field 'x' without a default"):
        codec.decode(text)


def test_a_field_removed_since_is_left_out() -> None:
    text = codec.encode(shapes.Point(1)).replace('["x",1]', '["x",1],["gone",2]')
    assert codec.decode(text) == shapes.Point(1)


def test_decoding_imports_nothing() -> None:
    assert "this" not in sys.modules
    with pytest.raises(Unreadable, match="not imported in this process"):
        codec.decode('{"$dataclass":["this:Zen",[]]}')
    assert "this" not in sys.modules


@pytest.mark.parametrize(
    "path", ["os:system", "builtins:eval", "builtins:object", "subprocess:Popen", "nonsense", ":", "sys:modules"]
)
def test_decoding_makes_dataclasses_only(path: str) -> None:
    with pytest.raises(Unreadable):
        codec.decode(json.dumps({"$dataclass": [path, [["args", "ls"]]]}))
    with pytest.raises(Unreadable):
        codec.decode(json.dumps({"$namedtuple": [path, ["ls"]]}))


@pytest.mark.parametrize(
    "text",
    [
        '{"$unknown":1}',
        '{"$datetime":"yesterday"}',
        '{"$datetime":["2026-01-01T00:00:00","Mars/Olympus",0]}',
        '{"$decimal":"x"}',
        '{"$uuid":7}',
        '{"$bytes":"*"}',
        '{"$timedelta":"1"}',
        '{"$set":[[]]}',
        '{"$int":"zz"}',
        '{"$model":[]}',
        '{"$tuple":',
    ],
)
def test_a_damaged_text_is_unreadable_and_still_shown(text: str) -> None:
    with pytest.raises(Unreadable):
        codec.decode(text)
    codec.readable(text)


def test_a_saved_model_instance_becomes_a_reference() -> None:
    group = Group(pk=5, name="x")
    group._state.adding, group._state.db = False, "default"
    reference = codec.decode(codec.encode([group]))[0]
    assert reference == codec.ModelReference("auth.Group", 5, "default")
    assert reference.model_class is Group
    assert codec.decode(codec.encode(reference)) == reference
    assert codec.readable(codec.encode(reference)) == "auth.Group(5)"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ((1, {2}), [1, [2]]),
        (Decimal("1.10"), "1.10"),
        (datetime(2026, 1, 1, tzinfo=PARIS), "2026-01-01T00:00:00+01:00[Europe/Paris]"),
        (timedelta(hours=1), "P0DT01H00M00S"),
        (b"abc", "base64:YWJj"),
        ({"$tuple": 1}, {"$tuple": 1}),
        (shapes.Point(1, (2,)), {"x": 1, "y": [2]}),
        (shapes.Pair(1, 2), [1, 2]),
    ],
)
def test_tags_are_shown_as_what_they_mean(value: Any, shown: Any) -> None:
    assert codec.readable(codec.encode(value)) == shown


@pytest.mark.parametrize("size", [8, 9])
def test_the_limit_counts_bytes_and_is_met_exactly(size: int) -> None:
    value = "x" * (size - 2)
    if size <= 8:
        assert len(codec.encode(value, limit=8)) == size
        return
    with pytest.raises(PayloadTooLarge) as caught:
        codec.encode(value, where="args", limit=8)
    assert (caught.value.path, caught.value.size, caught.value.limit) == ("args", 9, 8)


def test_no_limit_still_has_a_limit() -> None:
    with pytest.raises(PayloadTooLarge):
        codec.encode("x" * 10 * 1024 * 1024)


def test_round_trip_gives_what_the_text_gives() -> None:
    mutable = {"a": [1]}
    text, back = codec.round_trip(mutable)
    mutable["a"].append(2)
    assert back == {"a": [1]}
    assert text == '{"a":[1]}'


@pytest.mark.seed("AW-P14")
def test_a_depth_of_64_is_allowed_and_65_is_not() -> None:
    value: Any = 1
    for _ in range(64):
        value = [value]
    assert codec.decode(codec.encode(value)) == value
    with pytest.raises(NotSerializable, match="more than 64 deep"):
        codec.encode([value])
