"""What the import does to the database."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from example_project.airports import rules, source, writing
from example_project.airports.demo import audit
from example_project.airports.hops import Point
from example_project.airports.models import Airport, ChunkWrite

pytestmark = pytest.mark.django_db

ROW = source.Row("EDDF", "FRA", "Frankfurt Airport", "Frankfurt", "", "DE", "364", "50.03", "8.54", "Europe/Berlin", "")


def writer(*rows: source.Row, run: UUID | None = None) -> writing.ChunkWriter:
    """Make a writer of chunks of two rows."""
    return writing.ChunkWriter(
        source=source.Source(release="1", digest="", rows=rows),
        repeated=rules.repeated_codes(rows),
        size=2,
        run=run or uuid4(),
        attempt=1,
    )


def test_a_chunk_leaves_its_good_rows_and_one_witness() -> None:
    bad = ROW._replace(icao="EDDM", iata="MUC", lat="95")
    chunks = writer(ROW, bad)
    assert chunks.write(1) == {
        "written": 1,
        "countries": {"DE": 1},
        "refused": [["EDDM", "latitude '95' is not on this planet"]],
    }
    assert Airport.objects.values_list("icao", "iata", "latitude", "run").get() == ("EDDF", "FRA", 50.03, chunks.run)
    assert ChunkWrite.objects.values_list("run", "chunk", "attempt").get() == (chunks.run, 1, 1)


def test_a_second_import_overwrites_the_first() -> None:
    writer(ROW).write(1)
    second = writer(ROW._replace(name="Rhein-Main"))
    second.write(1)
    assert Airport.objects.values_list("name", "run").get() == ("Rhein-Main", second.run)


def test_a_chunk_of_bad_rows_still_leaves_its_witness() -> None:
    assert writer(ROW._replace(tz="")).write(1)["written"] == 0
    assert ChunkWrite.objects.count() == 1


def test_a_chunk_that_is_written_twice_is_counted_as_such() -> None:
    chunks = writer(ROW, ROW._replace(icao="EDDH", iata="HAM"), ROW._replace(icao="EDDM", iata="MUC"))
    for number in (1, 2, 2):
        chunks.write(number)
    assert (audit.chunks_written(chunks.run), audit.chunks_written_twice(chunks.run)) == (2, 1)


def test_marks_and_drops_touch_only_the_run_s_own_rows() -> None:
    writer(ROW).write(1)
    chunks = writer(ROW._replace(icao="EDDH", iata="HAM"), ROW._replace(icao="EDDM", iata="MUC"))
    chunks.write(1)
    assert writing.mark(chunks.run, {"EDDF": [rules.NO_CITY], "EDDH": [rules.NO_CITY, rules.SAME_SPOT]}) == 1
    assert dict(Airport.objects.values_list("icao", "doubts")) == {"EDDF": "", "EDDH": "no_city,same_spot", "EDDM": ""}
    assert writing.drop(chunks.run, ["EDDF", "EDDM"]) == 1
    assert set(Airport.objects.values_list("icao", flat=True)) == {"EDDF", "EDDH"}


def test_more_codes_than_fit_into_one_statement_are_dropped() -> None:
    run = uuid4()
    airports = [writing.airport(ROW._replace(icao=f"{number:04}"), run) for number in range(1200)]
    writing.upsert(airports)
    assert writing.drop(run, [airport.icao for airport in airports]) == 1200


def test_the_points_of_a_country_are_those_of_the_run() -> None:
    writer(ROW).write(1)
    chunks = writer(ROW._replace(icao="EDDH", iata="HAM"), ROW._replace(icao="LFPG", iata="CDG", country="FR"))
    chunks.write(1)
    assert writing.points_by_country(chunks.run, ["DE"]) == {"DE": [Point("EDDH", 50.03, 8.54)]}
