"""The example agrees with a script that shares no code with it."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from example_project.airports import hops, rules, source

from . import figures

SCRIPT = Path(figures.__file__)


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    """Read the installed file with csv."""
    return figures.read(figures.installed_file())


def test_the_script_imports_the_standard_library_only() -> None:
    imported = set()
    for node in ast.walk(ast.parse(SCRIPT.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module or ".")
    assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names


def test_the_rows_are_the_same(rows: list[dict[str, str]]) -> None:
    ours = source.read().rows
    assert [row.icao for row in ours] == [row["icao"] for row in rows]


def test_the_doubtful_rows_are_the_same(rows: list[dict[str, str]]) -> None:
    places = [_Place(row) for row in source.read().rows]
    assert set(rules.doubtful(places).reasons) == figures.doubtful(rows)


@pytest.mark.slow
def test_the_longest_hops_are_the_same(rows: list[dict[str, str]]) -> None:
    countries: dict[str, list[hops.Point]] = {}
    for row in source.read().rows:
        countries.setdefault(row.country, []).append(hops.Point(row.icao, float(row.lat), float(row.lon)))
    ours = {country: hop for country, points in countries.items() if (hop := hops.longest_hop(points))}
    theirs = figures.longest_hops(rows)
    assert {country: (hop.start, hop.end) for country, hop in ours.items()} == {
        country: (hop["start"], hop["end"]) for country, hop in theirs.items()
    }
    assert {country: hop.km for country, hop in ours.items()} == pytest.approx(
        {country: hop["km"] for country, hop in theirs.items()}, abs=0.001
    )


def test_the_script_runs_by_itself_on_any_file(tmp_path: Path) -> None:
    file = tmp_path / "airports.csv"
    header = ",".join(source.COLUMNS)
    file.write_text(f"{header}\nAAAA,,One,,,XX,0,0,0,UTC,\nBBBB,,Two,Town,,XX,0,0,90,UTC,\n", encoding="utf-8")
    output = subprocess.run([sys.executable, str(SCRIPT), str(file)], capture_output=True, check=True, text=True).stdout
    found = json.loads(output)
    assert (found["rows_read"], found["doubtful"]) == (2, 1)
    assert found["longest_hops"]["XX"]["km"] == pytest.approx(10007.557, abs=0.001)


class _Place:
    """A row of the file, as the rules about doubt look at it."""

    def __init__(self, row: source.Row) -> None:
        self.icao, self.name, self.city, self.country = row.icao, row.name, row.city, row.country
        self.latitude, self.longitude = float(row.lat), float(row.lon)
