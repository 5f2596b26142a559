"""What the import does to the database, each function inside one transaction of its caller's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict
from uuid import UUID

from django.db import connections, models, router

from . import rules
from .hops import Point
from .models import Airport, ChunkWrite
from .source import Row, Source

UPDATED = [field.name for field in Airport._meta.concrete_fields if not field.primary_key]
# Oracle aside, the tightest limit on parameters in one statement is that of old SQLite builds: 999.
CODES_AT_ONCE = 500


class Written(TypedDict):
    """What one chunk came to: how many airports of each country were written, and a code and a sentence for each row refused."""

    written: int
    countries: dict[str, int]
    refused: list[list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkWriter:
    """Writes the chunks of one file for one attempt of one run."""

    source: Source
    repeated: rules.RepeatedCodes
    size: int
    run: UUID
    attempt: int

    def write(self, number: int) -> Written:
        """Validate a chunk, upsert its good rows and leave a witness."""
        good: list[Airport] = []
        refused: list[list[str]] = []
        for row in self.source.chunk(number, self.size):
            problems = rules.problems(row, self.repeated)
            if problems:
                refused.append([row.icao, "; ".join(problems)])
            else:
                good.append(airport(row, self.run))
        upsert(good)
        ChunkWrite.objects.create(run=self.run, chunk=number, attempt=self.attempt)
        countries = dict(sorted(Counter(row.country for row in good).items()))
        return {"written": len(good), "countries": countries, "refused": refused}


def airport(row: Row, run: UUID) -> Airport:
    """Make an airport of a row without problems."""
    return Airport(
        icao=row.icao,
        iata=row.iata,
        lid=row.lid,
        name=row.name,
        city=row.city,
        subdivision=row.subd,
        country=row.country,
        elevation_feet=float(row.elevation),
        latitude=float(row.lat),
        longitude=float(row.lon),
        time_zone=row.tz,
        run=run,
    )


def upsert(airports: Sequence[Airport]) -> None:
    """Insert the airports, or overwrite the ones of the same code."""
    if not airports:
        return
    connection = connections[router.db_for_write(Airport)]
    # MariaDB and MySQL look at every unique key and refuse to be told which one.
    names_target = connection.features.supports_update_conflicts_with_target
    Airport.objects.bulk_create(
        airports, update_conflicts=True, update_fields=UPDATED, unique_fields=["icao"] if names_target else None
    )


def drop(run: UUID, codes: Iterable[str]) -> int:
    """Delete the airports of these codes and tell how many there were."""
    return sum(Airport.objects.filter(run=run, icao__in=batch).delete()[0] for batch in _batches(sorted(codes)))


def mark(run: UUID, reasons: Mapping[str, Sequence[str]]) -> int:
    """Write the reasons for doubt beside the airports and tell how many were marked."""
    codes_by_reasons: dict[str, list[str]] = {}
    for code, why in reasons.items():
        codes_by_reasons.setdefault(",".join(why), []).append(code)
    return sum(
        Airport.objects.filter(run=run, icao__in=batch).update(doubts=doubts)
        for doubts, codes in sorted(codes_by_reasons.items())
        for batch in _batches(codes)
    )


def points_by_country(run: UUID, countries: Sequence[str]) -> dict[str, list[Point]]:
    """Gather the positions of a run's airports by country, in the order of the codes."""
    places: dict[str, list[Point]] = {}
    rows = Airport.objects.filter(run=run, country__in=countries).order_by("country", "icao")
    for country, code, latitude, longitude in rows.values_list("country", "icao", "latitude", "longitude").iterator():
        places.setdefault(country, []).append(Point(code, latitude, longitude))
    return places


def count_by_country(run: UUID) -> dict[str, int]:
    """Count a run's airports of each country, in the order of the countries."""
    counted = Airport.objects.filter(run=run).values("country").annotate(number=models.Count("pk")).order_by("country")
    return {row["country"]: row["number"] for row in counted}


def _batches(codes: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(codes), CODES_AT_ONCE):
        yield codes[start : start + CODES_AT_ONCE]
