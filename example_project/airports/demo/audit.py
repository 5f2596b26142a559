"""The demo's own audit: what the database holds, against what the file says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Count

from example_project.airports import hops, report, rules, source, tasks, writing
from example_project.airports.models import Airport, ChunkWrite


@dataclass(frozen=True, slots=True)
class Check:
    """One figure, as it should be and as it is."""

    name: str
    expected: int | Mapping[str, hops.Hop]
    found: int | Mapping[str, hops.Hop]

    @property
    def agrees(self) -> bool:
        """Whether the two are the same."""
        return self.expected == self.found

    def __str__(self) -> str:
        if isinstance(self.expected, Mapping | bool):
            return self.name
        return f"{self.name}: {self.found:,}" + ("" if self.agrees else f", expected {self.expected:,}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What the file says, whatever any task says."""

    rows: int
    chunks: int
    doubtful: int
    airports: Mapping[str, Airport]
    longest_hops: Mapping[str, hops.Hop]


def chunks_written(run: UUID) -> int:
    """Count, in SQL, the chunks that were written at least once."""
    return ChunkWrite.objects.filter(run=run).values("chunk").distinct().count()


def chunks_written_twice(run: UUID) -> int:
    """Count, in SQL, the chunks that were written more than once."""
    return ChunkWrite.objects.filter(run=run).values("chunk").annotate(times=Count("id")).filter(times__gt=1).count()


def expect(run: UUID, decision: str, chunk_rows: int) -> Expected:
    """Work out from the file alone what the import should have come to."""
    file = source.read()
    repeated = rules.repeated_codes(file.rows)
    airports = {row.icao: writing.airport(row, run) for row in file.rows if not rules.problems(row, repeated)}
    doubtful = rules.doubtful(airports.values()).reasons
    for code, why in doubtful.items():
        if decision == tasks.DROP:
            del airports[code]
        elif decision == tasks.MARK:
            airports[code].doubts = ",".join(why)
    return Expected(
        rows=len(file.rows),
        chunks=file.count_chunks(chunk_rows),
        doubtful=len(doubtful),
        airports=airports,
        longest_hops=_longest_hops(airports.values()),
    )


def checks(run: UUID, figures: Mapping[str, Any], expected: Expected) -> Iterator[Check]:
    """Compare the task's figures and the database's rows with what the file says."""
    yield Check("rows read", expected.rows, figures["rows_read"])
    yield Check("rows written", len(expected.airports), figures["rows_written"])
    yield Check(
        "rows in the database that equal the file's", len(expected.airports), _count_equal(run, expected.airports)
    )
    yield Check("rows in the database", len(expected.airports), Airport.objects.filter(run=run).count())
    yield Check("doubtful rows", expected.doubtful, figures["doubtful"]["rows"])
    yield Check("chunks written", expected.chunks, chunks_written(run))
    yield Check("chunks written twice", 0, chunks_written_twice(run))
    yield Check("countries with a longest hop", len(expected.longest_hops), len(figures["longest_hops"]))
    yield Check("longest hops", expected.longest_hops, _hops_by_country(figures))
    yield Check(
        "the report exists", True, report.path_of(run).is_file() and str(report.path_of(run)) == figures["report"]
    )


def _longest_hops(airports: Any) -> dict[str, hops.Hop]:
    places: dict[str, list[hops.Point]] = {}
    for airport in airports:
        places.setdefault(airport.country, []).append(report.point(airport))
    found = {country: hops.longest_hop(points) for country, points in places.items()}
    return {country: hop for country, hop in found.items() if hop}


def _hops_by_country(figures: Mapping[str, Any]) -> dict[str, hops.Hop]:
    return {hop["country"]: hops.Hop(hop["start"], hop["end"], hop["km"]) for hop in figures["longest_hops"]}


def _count_equal(run: UUID, airports: Mapping[str, Airport]) -> int:
    names = [field.attname for field in Airport._meta.concrete_fields]
    rows = Airport.objects.filter(run=run).order_by("icao").values(*names)
    return sum(
        row["icao"] in airports and all(row[name] == getattr(airports[row["icao"]], name) for name in names)
        for row in rows.iterator()
    )
