"""The longest hop is exact."""

from __future__ import annotations

import math
import random
from itertools import combinations

import pytest

from example_project.airports import hops, source
from example_project.airports.hops import Hop, Point


def brute_force(points: list[Point]) -> float:
    """Compare every pair."""
    return max(hops.distance_km(a, b) for a, b in combinations(points, 2))


def scatter(seed: int) -> list[Point]:
    """Scatter points over the whole Earth, or over a small part of it, or over two parts far apart."""
    chance = random.Random(seed)
    spread = chance.choice([0.01, 1, 20, 90])
    points = []
    for number in range(chance.randint(2, 60)):
        centre = chance.choice([(0.0, 0.0), (70.0, 179.0)]) if seed % 2 else (-45.0, -179.9)
        latitude = max(-90.0, min(90.0, centre[0] + chance.uniform(-spread, spread)))
        longitude = (centre[1] + chance.uniform(-2 * spread, 2 * spread) + 180) % 360 - 180
        points.append(Point(f"P{number:03}", latitude, longitude))
    return points


def test_a_quarter_of_the_equator_is_a_quarter_of_the_earths_circumference() -> None:
    quarter = hops.distance_km(Point("A", 0, -45), Point("B", 0, 45))
    assert quarter == pytest.approx(math.pi * hops.EARTH_RADIUS_KM / 2)


def test_the_way_across_the_date_line_is_the_short_one() -> None:
    assert hops.distance_km(Point("A", 0, 179), Point("B", 0, -179)) == pytest.approx(222.39, abs=0.01)


def test_opposite_ends_of_the_earth_are_half_a_circumference_apart() -> None:
    assert hops.distance_km(Point("A", 90, 0), Point("B", -90, 0)) == pytest.approx(math.pi * hops.EARTH_RADIUS_KM)


@pytest.mark.parametrize("seed", range(200))
def test_no_pair_is_longer(seed: int) -> None:
    points = scatter(seed)
    hop = hops.longest_hop(points)
    assert hop is not None
    assert hop.km == pytest.approx(brute_force(points), abs=0.001)


def test_no_pair_of_a_small_country_is_longer() -> None:
    countries: dict[str, list[Point]] = {}
    for row in source.read().rows:
        countries.setdefault(row.country, []).append(Point(row.icao, float(row.lat), float(row.lon)))
    small = {country: points for country, points in countries.items() if 2 <= len(points) <= 60}
    assert len(small) > 100
    found = {country: hops.longest_hop(points) for country, points in small.items()}
    expected = {country: round(brute_force(points), 3) for country, points in small.items()}
    assert {country: hop.km for country, hop in found.items() if hop} == pytest.approx(expected, abs=0.002)


@pytest.mark.parametrize("points", [[], [Point("A", 1, 1)]])
def test_a_hop_needs_two_airports(points: list[Point]) -> None:
    assert hops.longest_hop(points) is None


def test_two_airports_on_one_spot_make_a_hop_of_no_length() -> None:
    assert hops.longest_hop([Point("B", 1, 1), Point("A", 1, 1)]) == Hop("A", "B", 0.0)


def test_of_equal_hops_the_one_with_the_lesser_codes_wins_in_any_order() -> None:
    points = [Point("D", 0, 10), Point("C", 0, 10), Point("B", 0, -10), Point("A", 0, -10)]
    for seed in range(10):
        random.Random(seed).shuffle(points)
        hop = hops.longest_hop(points)
        assert hop is not None
        assert (hop.start, hop.end) == ("A", "C")
