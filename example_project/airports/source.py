"""The file: the CSV inside the installed ``airportsdata`` package.

Its columns are icao, iata, name, city, subd, country, elevation, lat, lon, tz and lid. ``icao`` is never empty: where
an airport has no ICAO code it holds a national code, or a made-up one that begins with an underscore. Some 2,800 rows
have no city, some 750 no subdivision, and two names end in a space.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata, resources
from typing import NamedTuple

PACKAGE = "airportsdata"
FILE_NAME = "airports.csv"
COLUMNS = ("icao", "iata", "name", "city", "subd", "country", "elevation", "lat", "lon", "tz", "lid")


class SourceMissing(LookupError):
    """The airportsdata package, or the file inside it, is not there or has another shape."""


class Row(NamedTuple):
    """One line of the file, as text, without the spaces around its values."""

    icao: str
    iata: str
    name: str
    city: str
    subd: str
    country: str
    elevation: str
    lat: str
    lon: str
    tz: str
    lid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The whole file at one moment. ``digest`` tells one release from another."""

    release: str
    digest: str
    rows: Sequence[Row]

    def chunk(self, number: int, size: int) -> Sequence[Row]:
        """Cut out a chunk. The first has the number 1."""
        return self.rows[(number - 1) * size : number * size]

    def count_chunks(self, size: int) -> int:
        """Count the chunks of this size."""
        return -(-len(self.rows) // size)


def read() -> Source:
    """Read the installed file. Raise SourceMissing when it is not there."""
    try:
        content = resources.files(PACKAGE).joinpath(FILE_NAME).read_bytes()
        release = metadata.version(PACKAGE)
    except (ModuleNotFoundError, FileNotFoundError) as error:
        raise SourceMissing(f"There is no {FILE_NAME} of the package {PACKAGE!r}: pip install {PACKAGE}.") from error
    return Source(release=release, digest=hashlib.sha256(content).hexdigest(), rows=parse(content))


def parse(content: bytes) -> Sequence[Row]:
    """Turn the file's bytes into rows. Raise SourceMissing when the columns are not the ones we know."""
    lines = csv.reader(io.StringIO(content.decode("utf-8"), newline=""))
    header = tuple(next(lines, ()))
    if header != COLUMNS:
        raise SourceMissing(f"{FILE_NAME} has the columns {header}, expected {COLUMNS}.")
    return [Row(*(value.strip() for value in line)) for line in lines]
