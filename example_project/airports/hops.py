"""The longest hop: the two airports of a country that lie farthest apart. Exact, and pure Python."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

EARTH_RADIUS_KM = 6371.0088

# Chords on the unit sphere closer than this are taken for equal; it is about six micrometres on the ground.
EQUAL = 1e-12


class Point(NamedTuple):
    """An airport reduced to its code and its position in degrees."""

    code: str
    latitude: float
    longitude: float


class Hop(NamedTuple):
    """The way between two airports along a great circle. ``start`` is the lesser of the two codes."""

    start: str
    end: str
    km: float


class _Spoke(NamedTuple):
    reach: float
    point: Point
    vector: tuple[float, float, float]


def distance_km(a: Point, b: Point) -> float:
    """Measure the great-circle distance on a sphere of the Earth's mean radius (haversine)."""
    south, north = math.radians(a.latitude), math.radians(b.latitude)
    across = math.radians(b.longitude - a.longitude)
    half_chord = math.sin((north - south) / 2) ** 2 + math.cos(south) * math.cos(north) * math.sin(across / 2) ** 2
    return 2 * EARTH_RADIUS_KM * math.asin(min(1.0, math.sqrt(half_chord)))


def vector(point: Point) -> tuple[float, float, float]:
    """Turn a position into a vector on the unit sphere."""
    latitude, longitude = math.radians(point.latitude), math.radians(point.longitude)
    return math.cos(latitude) * math.cos(longitude), math.cos(latitude) * math.sin(longitude), math.sin(latitude)


def longest_hop(points: Iterable[Point]) -> Hop | None:
    """Find the two points that lie farthest apart; None if there are fewer than two.

    Of two pairs at the same distance the one with the lesser codes wins. A great circle's length grows with its chord,
    so chords are compared. No pair is longer than the sum of its distances to a centre: with the points ordered by that
    distance, the search is over as soon as the sum falls below the best chord found. Of the 79 million pairs of the
    United States' 12,579 airports it looks at a few thousand.
    """
    spokes = _spokes(list(points))
    best, ends = -1.0, None
    for index, (reach, point, here) in enumerate(spokes):
        if 2 * reach < best - EQUAL:
            break
        for other_reach, other, there in spokes[index + 1 :]:
            if reach + other_reach < best - EQUAL:
                break
            chord = math.dist(here, there)
            if chord < best - EQUAL:
                continue
            pair = (point, other) if point.code < other.code else (other, point)
            if ends is None or chord > best + EQUAL or (pair[0].code, pair[1].code) < (ends[0].code, ends[1].code):
                best, ends = max(best, chord), pair
    if ends is None:
        return None
    return Hop(ends[0].code, ends[1].code, round(distance_km(*ends), 3))


def _spokes(points: list[Point]) -> list[_Spoke]:
    """Order the points by their distance from a centre half-way between two far ones, farthest first."""
    if not points:
        return []
    vectors = [vector(point) for point in points]
    far = max(vectors, key=lambda each: math.dist(each, vectors[0]))
    farther = max(vectors, key=lambda each: math.dist(each, far))
    centre = tuple((a + b) / 2 for a, b in zip(far, farther, strict=True))
    spokes = [_Spoke(math.dist(each, centre), point, each) for point, each in zip(points, vectors, strict=True)]
    return sorted(spokes, key=lambda spoke: (-spoke.reach, spoke.point.code))
