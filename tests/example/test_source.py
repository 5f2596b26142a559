"""The file is read as it is."""

from __future__ import annotations

import pytest

from example_project.airports import source

HEADER = ",".join(source.COLUMNS)
LINE = '"EDDF","FRA","Frankfurt Airport ","Frankfurt, Main","Hesse","DE",364,50.0264,8.5431,"Europe/Berlin",""'


def test_a_value_with_a_comma_is_one_value_and_its_outer_spaces_go() -> None:
    (row,) = source.parse(f"{HEADER}\n{LINE}\n".encode())
    assert row.city == "Frankfurt, Main"
    assert row.name == "Frankfurt Airport"


def test_a_file_of_another_shape_is_refused() -> None:
    with pytest.raises(source.SourceMissing, match="columns"):
        source.parse(b"icao,name\nEDDF,Frankfurt\n")


def test_a_package_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "PACKAGE", "no_such_package_of_airports")
    with pytest.raises(source.SourceMissing, match="pip install no_such_package_of_airports"):
        source.read()


def test_the_chunks_hold_every_row_once_and_in_order() -> None:
    file = source.read()
    size = 250
    chunks = [file.chunk(number, size) for number in range(1, file.count_chunks(size) + 1)]
    assert [row for chunk in chunks for row in chunk] == list(file.rows)
    assert all(len(chunk) == size for chunk in chunks[:-1])
    assert 0 < len(chunks[-1]) <= size


def test_chunks_that_divide_the_file_leave_no_empty_one() -> None:
    rows = [source.Row(*[str(number)] * len(source.COLUMNS)) for number in range(6)]
    assert source.Source(release="1", digest="", rows=rows).count_chunks(3) == 2
