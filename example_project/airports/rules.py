"""The rules: what makes a row wrong, and what makes it doubtful. Pure; no database."""

from __future__ import annotations

import re
import zoneinfo
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Protocol

from .source import Row

NO_CITY = "no_city"
SAME_NAME = "same_name"
SAME_SPOT = "same_spot"
REASONS = {
    NO_CITY: "no city",
    SAME_NAME: "name used twice in one city",
    SAME_SPOT: "shares its spot with another",
}

_ICAO = re.compile(r"[A-Z0-9_][A-Z0-9]{3}")
_IATA = re.compile(r"[A-Z0-9]{3}")
_COUNTRY = re.compile(r"[A-Z]{2}")


class Place(Protocol):
    """What the rules about doubt look at."""

    @property
    def icao(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def city(self) -> str: ...
    @property
    def country(self) -> str: ...
    @property
    def latitude(self) -> float: ...
    @property
    def longitude(self) -> float: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedCodes:
    """The codes that more than one row of the file carries. Empty codes do not count."""

    icao: frozenset[str] = frozenset()
    iata: frozenset[str] = frozenset()
    lid: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubtful:
    """The doubtful rows by their codes. A row may be in more than one list."""

    no_city: Sequence[str] = ()
    same_name: Sequence[Sequence[str]] = ()
    same_spot: Sequence[Sequence[str]] = ()
    reasons: dict[str, list[str]] = field(default_factory=dict)


@cache
def known_time_zones() -> frozenset[str]:
    """Return the names of all time zones that this machine knows."""
    return frozenset(zoneinfo.available_timezones())


def repeated_codes(rows: Iterable[Row]) -> RepeatedCodes:
    """Find the codes that are not unique in the whole file."""
    rows = list(rows)
    return RepeatedCodes(
        icao=_repeated(row.icao for row in rows),
        iata=_repeated(row.iata for row in rows),
        lid=_repeated(row.lid for row in rows),
    )


def problems(row: Row, repeated: RepeatedCodes) -> list[str]:
    """Tell all that is wrong with a row; nothing if it may be imported."""
    found = []
    if not _ICAO.fullmatch(row.icao):
        found.append(f"ICAO code {row.icao!r} is malformed")
    if row.iata and not _IATA.fullmatch(row.iata):
        found.append(f"IATA code {row.iata!r} is malformed")
    if not _COUNTRY.fullmatch(row.country):
        found.append(f"country {row.country!r} is malformed")
    if not row.name:
        found.append("no name")
    if not _is_within(row.lat, 90):
        found.append(f"latitude {row.lat!r} is not on this planet")
    if not _is_within(row.lon, 180):
        found.append(f"longitude {row.lon!r} is not on this planet")
    if not _is_within(row.elevation, 30_000):
        found.append(f"elevation {row.elevation!r} is not a height on this planet")
    if row.tz not in known_time_zones():
        found.append(f"time zone {row.tz!r} is unknown")
    for kind, code, taken in (
        ("ICAO code", row.icao, repeated.icao),
        ("IATA code", row.iata, repeated.iata),
        ("FAA identifier", row.lid, repeated.lid),
    ):
        if code in taken:
            found.append(f"{kind} {code!r} is used more than once")
    return found


def doubtful(places: Iterable[Place]) -> Doubtful:
    """Find the rows that a person should look at.

    A city is known by its name and country; rows without one count as one city. Most names used twice in one city are
    in truth those of two cities in two subdivisions (York in Pennsylvania and in South Carolina): hence a person
    decides, not a rule. A spot is the position to three decimals, about a hundred metres.
    """
    places = sorted(places, key=lambda place: place.icao)
    no_city = [place.icao for place in places if not place.city]
    same_name = _groups((place.icao, (place.country, place.city, place.name)) for place in places)
    same_spot = _groups((place.icao, (f"{place.latitude:z.3f}", f"{place.longitude:z.3f}")) for place in places)
    reasons: dict[str, list[str]] = defaultdict(list)
    for reason, codes in (
        (NO_CITY, no_city),
        (SAME_NAME, [code for group in same_name for code in group]),
        (SAME_SPOT, [code for group in same_spot for code in group]),
    ):
        for code in codes:
            reasons[code].append(reason)
    return Doubtful(no_city=no_city, same_name=same_name, same_spot=same_spot, reasons=dict(sorted(reasons.items())))


def _repeated(codes: Iterable[str]) -> frozenset[str]:
    return frozenset(code for code, times in Counter(codes).items() if code and times > 1)


def _groups(keyed: Iterable[tuple[str, Hashable]]) -> list[list[str]]:
    by_key: dict[Hashable, list[str]] = defaultdict(list)
    for code, key in keyed:
        by_key[key].append(code)
    return [codes for codes in by_key.values() if len(codes) > 1]


def _is_within(text: str, limit: float) -> bool:
    try:
        # A NaN fails every comparison, so it is refused here too.
        return -limit <= float(text) <= limit
    except ValueError:
        return False
