"""The map: every airport as a dot, the longest hops as great-circle arcs, as SVG without inline style or script."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import NamedTuple

from .hops import Point, vector

WIDTH = 1200
# Equal Earth (Savric, Patterson and Jenny, 2018): equal-area, and easy on the eye.
A1, A2, A3, A4 = 1.340264, -0.081106, 0.000893, 0.003796
ROOT = math.sqrt(3) / 2


class Arc(NamedTuple):
    """A hop to draw, with the words that a reader sees on pointing at it."""

    start: Point
    end: Point
    title: str


def project(latitude: float, longitude: float) -> tuple[float, float]:
    """Put a position on the Equal Earth map, in units of the Earth's radius, north up."""
    theta = math.asin(ROOT * math.sin(math.radians(latitude)))
    square = theta * theta
    sixth = square * square * square
    slope = A1 + 3 * A2 * square + sixth * (7 * A3 + 9 * A4 * square)
    across = math.radians(longitude) * math.cos(theta) / (ROOT * slope)
    return across, theta * (A1 + A2 * square + sixth * (A3 + A4 * square))


SCALE = WIDTH / (2 * project(0, 180)[0])
HEIGHT = math.ceil(2 * SCALE * project(90, 0)[1])


def draw(points: Iterable[Point], arcs: Sequence[Arc], *, title: str, description: str) -> str:
    """Draw the map as one SVG element. Its colours come from the page's style sheet, by class."""
    parts = [
        f'<svg class="map" viewBox="-4 -4 {WIDTH + 8} {HEIGHT + 8}" xmlns="http://www.w3.org/2000/svg"',
        ' role="img" aria-labelledby="map-title map-description">',
        f'<title id="map-title">{escape(title)}</title>',
        f'<desc id="map-description">{escape(description)}</desc>',
        f'<path class="globe" d="{_outline()}"/>',
        f'<path class="graticule" fill="none" d="{_graticule()}"/>',
        # A dot is a line of no length with a round cap: the shortest way to write one in SVG.
        f'<path class="airports" fill="none" stroke-linecap="round" d="{"".join(_dots(points))}"/>',
    ]
    for arc in arcs:
        parts.append(f'<path class="hop" fill="none" d="{_arc(arc)}"><title>{escape(arc.title)}</title></path>')
    parts.append("</svg>")
    return "\n".join(parts)


def _place(latitude: float, longitude: float) -> str:
    x, y = project(latitude, longitude)
    return f"{WIDTH / 2 + SCALE * x:.1f} {HEIGHT / 2 - SCALE * y:.1f}"


def _dots(points: Iterable[Point]) -> Iterator[str]:
    places = {_place(point.latitude, point.longitude): None for point in points}
    return (f"M{place}h0" for place in places)


def _line(positions: Iterable[tuple[float, float]]) -> str:
    return "M" + "L".join(_place(*position) for position in positions)


def _outline() -> str:
    east = [(latitude, 180.0) for latitude in range(-90, 91, 5)]
    west = [(latitude, -180.0) for latitude in range(90, -91, -5)]
    return _line([*east, *west]) + "Z"


def _graticule() -> str:
    meridians = [_line((latitude, longitude) for latitude in range(-90, 91, 5)) for longitude in range(-150, 151, 30)]
    parallels = [_line([(latitude, -180.0), (latitude, 180.0)]) for latitude in range(-60, 61, 30)]
    return "".join([*meridians, *parallels])


def _arc(arc: Arc) -> str:
    """Follow the great circle in small steps, lifting the pen where it leaves the map on one side for the other."""
    stretches: list[list[tuple[float, float]]] = [[]]
    for position in _between(arc.start, arc.end):
        if stretches[-1] and abs(position[1] - stretches[-1][-1][1]) > 180:
            stretches.append([])
        stretches[-1].append(position)
    return "".join(_line(stretch) for stretch in stretches)


def _between(start: Point, end: Point) -> Iterator[tuple[float, float]]:
    a, b = vector(start), vector(end)
    angle = 2 * math.asin(min(1.0, math.dist(a, b) / 2))
    if math.sin(angle) < 1e-9:
        # The same spot, or opposite ends of the Earth where every way is the shortest.
        yield from ((start.latitude, start.longitude), (end.latitude, end.longitude))
        return
    pieces = max(2, math.ceil(math.degrees(angle) / 2))
    for piece in range(pieces + 1):
        near = math.sin(angle * (1 - piece / pieces)) / math.sin(angle)
        far = math.sin(angle * piece / pieces) / math.sin(angle)
        x, y, z = (near * p + far * q for p, q in zip(a, b, strict=True))
        yield math.degrees(math.asin(max(-1.0, min(1.0, z)))), math.degrees(math.atan2(y, x))
