"""Work out the figures of the airport import from the CSV file alone, by the plainest means, and print them as JSON.

This script shares no code with the example project: it opens the file that it is given (or the installed one) with
``csv``, compares every pair of airports of a country, and knows nothing of Django. Run it as
``python tests/example/figures.py``.
"""

from __future__ import annotations

import csv
import json
import math
import sys
from collections import Counter, defaultdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

EARTH_RADIUS_KM = 6371.0088


def installed_file() -> Path:
    """Find the CSV file of the installed package without importing the package."""
    spec = find_spec("airportsdata")
    if spec is None or spec.origin is None:
        raise SystemExit("The package airportsdata is not installed.")
    return Path(spec.origin).parent / "airports.csv"


def read(path: Path) -> list[dict[str, str]]:
    """Read the file."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def doubtful(rows: list[dict[str, str]]) -> set[str]:
    """Return the codes of the rows without a city, with a name used twice in a city, or on a shared spot."""

    def name(row: dict[str, str]) -> tuple[str, ...]:
        return row["country"], row["city"].strip(), row["name"].strip()

    def spot(row: dict[str, str]) -> tuple[float, ...]:
        return round(float(row["lat"]), 3), round(float(row["lon"]), 3)

    names, spots = Counter(map(name, rows)), Counter(map(spot, rows))
    return {row["icao"] for row in rows if not row["city"].strip() or names[name(row)] > 1 or spots[spot(row)] > 1}


def longest_hops(rows: list[dict[str, str]]) -> dict[str, dict[str, Any]]:
    """Return the farthest pair of each country, found by comparing all its pairs."""
    countries = defaultdict(list)
    for row in rows:
        countries[row["country"]].append(
            (row["icao"], math.radians(float(row["lat"])), math.radians(float(row["lon"])))
        )
    return {country: farthest(places) for country, places in sorted(countries.items()) if len(places) > 1}


def farthest(places: list[tuple[str, float, float]]) -> dict[str, Any]:
    """Compare all pairs. The cosine of the angle between two places is the product of their unit vectors."""
    units = [(math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)) for _, lat, lon in places]
    least, ends = 2.0, (0, 0)
    for index, (x, y, z) in enumerate(units[1:], start=1):
        cosines = [x * a + y * b + z * c for a, b, c in units[:index]]
        lowest = min(cosines)
        if lowest < least:
            least, ends = lowest, (cosines.index(lowest), index)
    start, end = sorted(places[each] for each in ends)
    return {"start": start[0], "end": end[0], "km": kilometres(start, end)}


def kilometres(start: tuple[str, float, float], end: tuple[str, float, float]) -> float:
    """Measure the great circle by Vincenty's formula for a sphere, which is exact at any distance."""
    _, lat1, lon1 = start
    _, lat2, lon2 = end
    across = lon2 - lon1
    sine = math.hypot(
        math.cos(lat2) * math.sin(across),
        math.cos(lat1) * math.sin(lat2) - math.sin(lat1) * math.cos(lat2) * math.cos(across),
    )
    cosine = math.sin(lat1) * math.sin(lat2) + math.cos(lat1) * math.cos(lat2) * math.cos(across)
    return EARTH_RADIUS_KM * math.atan2(sine, cosine)


def figures(path: Path, *, drop_doubtful: bool = False) -> dict[str, Any]:
    """Work out all figures."""
    rows = read(path)
    doubts = doubtful(rows)
    kept = [row for row in rows if row["icao"] not in doubts] if drop_doubtful else rows
    return {
        "rows_read": len(rows),
        "rows_written": len(kept),
        "doubtful": len(doubts),
        "longest_hops": longest_hops(kept),
    }


if __name__ == "__main__":
    print(json.dumps(figures(Path(sys.argv[1]) if len(sys.argv) > 1 else installed_file()), indent=2))
