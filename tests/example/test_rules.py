"""What makes a row wrong, and what makes it doubtful."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from example_project.airports import rules, source

GOOD = source.Row(
    "EDDF", "FRA", "Frankfurt Airport", "Frankfurt", "Hesse", "DE", "364", "50.0264", "8.5431", "Europe/Berlin", ""
)
NONE_REPEATED = rules.RepeatedCodes()


@dataclass(frozen=True)
class Place:
    """What the rules about doubt look at."""

    icao: str
    name: str = "Airfield"
    city: str = "Town"
    country: str = "DE"
    latitude: float = 0
    longitude: float = 0


def test_a_good_row_has_no_problem() -> None:
    assert rules.problems(GOOD, NONE_REPEATED) == []


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"lat": "90.001"}, "latitude"),
        ({"lat": "nan"}, "latitude"),
        ({"lat": ""}, "latitude"),
        ({"lon": "-180.5"}, "longitude"),
        ({"lon": "east"}, "longitude"),
        ({"elevation": "inf"}, "elevation"),
        ({"tz": "Europe/Atlantis"}, "time zone 'Europe/Atlantis' is unknown"),
        ({"tz": ""}, "time zone"),
        ({"tz": "../Berlin"}, "time zone"),
        ({"icao": ""}, "ICAO"),
        ({"icao": "ED"}, "ICAO"),
        ({"iata": "FR"}, "IATA"),
        ({"country": "Germany"}, "country"),
        ({"name": ""}, "no name"),
    ],
)
def test_a_row_with_a_problem_says_which(change: dict[str, str], complaint: str) -> None:
    (problem,) = rules.problems(GOOD._replace(**change), NONE_REPEATED)
    assert complaint in problem


def test_a_code_that_two_rows_carry_is_a_problem_of_both() -> None:
    rows = [GOOD, GOOD._replace(icao="EDDH", name="Hamburg Airport"), GOOD._replace(icao="EDDM", iata="MUC")]
    repeated = rules.repeated_codes(rows)
    assert [bool(rules.problems(row, repeated)) for row in rows] == [True, True, False]


def test_an_empty_code_is_never_repeated() -> None:
    assert rules.repeated_codes([GOOD._replace(icao="A", iata=""), GOOD._replace(icao="B", iata="")]) == NONE_REPEATED


def test_every_row_of_the_file_is_without_problem() -> None:
    rows = source.read().rows
    repeated = rules.repeated_codes(rows)
    assert [row.icao for row in rows if rules.problems(row, repeated)] == []


def test_a_row_without_a_city_is_doubtful() -> None:
    assert rules.doubtful([Place("AAAA", city="")]).no_city == ["AAAA"]


def test_a_name_used_twice_in_one_city_makes_both_rows_doubtful() -> None:
    found = rules.doubtful([Place("BBBB"), Place("AAAA", latitude=5), Place("CCCC", country="FR", latitude=9)])
    assert found.same_name == [["AAAA", "BBBB"]]
    assert found.reasons == {"AAAA": [rules.SAME_NAME], "BBBB": [rules.SAME_NAME]}


def test_rows_less_than_a_hundred_metres_apart_share_a_spot() -> None:
    found = rules.doubtful([Place("AAAA", name="a", latitude=1.2344), Place("BBBB", name="b", latitude=1.2341)])
    assert found.same_spot == [["AAAA", "BBBB"]]
    assert not rules.doubtful([Place("AAAA", name="a", latitude=1.23), Place("BBBB", name="b", latitude=1.24)]).reasons


def test_a_row_may_be_doubtful_for_every_reason_and_is_counted_once() -> None:
    found = rules.doubtful([Place("AAAA", city=""), Place("BBBB", city="")])
    assert found.reasons == {code: [rules.NO_CITY, rules.SAME_NAME, rules.SAME_SPOT] for code in ("AAAA", "BBBB")}


def test_the_order_of_the_rows_does_not_matter() -> None:
    places = [Place("AAAA", city=""), Place("BBBB"), Place("CCCC")]
    assert rules.doubtful(places) == rules.doubtful(places[::-1])
