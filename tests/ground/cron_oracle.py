"""When a cron line ticks, found out the long way: minute by minute over a zone, with none of the package's code."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


class Line:
    """A cron line of five fields: stars, numbers, lists, ranges and steps."""

    def __init__(self, text: str) -> None:
        self.fields = text.split()
        self.minutes, self.hours, self.days, self.months, self.weekdays = (
            _values(part, *ends) for part, ends in zip(self.fields, RANGES, strict=True)
        )
        self.is_fixed = self.fields[0][0] != "*" and self.fields[1][0] != "*"
        self.both_days = self.fields[2][0] == "*" or self.fields[4][0] == "*"

    def has_day(self, wall: datetime) -> bool:
        """Tell whether the line names the day."""
        weekday = wall.isoweekday() % 7
        by_month = wall.day in self.days
        by_week = weekday in self.weekdays or (weekday == 0 and 7 in self.weekdays)
        return wall.month in self.months and (by_month and by_week if self.both_days else by_month or by_week)

    def has(self, wall: datetime) -> bool:
        """Tell whether the line names the minute."""
        return wall.minute in self.minutes and wall.hour in self.hours and self.has_day(wall)


def _values(part: str, low: int, high: int) -> set[int]:
    found: set[int] = set()
    for piece in part.split(","):
        span, _, step = piece.partition("/")
        first, _, last = span.partition("-")
        start, end = (low, high) if span == "*" else (int(first), int(last or (high if step else first)))
        found |= set(range(start, end + 1, int(step or 1)))
    return found


def changes(zone: ZoneInfo, first: datetime, last: datetime) -> list[datetime]:
    """Return a moment within a day after each change of a zone's clocks."""
    moment, found = first, []
    while moment < last:
        if (moment + DAY).astimezone(zone).utcoffset() != moment.astimezone(zone).utcoffset():
            found.append(moment + DAY)
        moment += DAY
    return found


def walked(zone: ZoneInfo, start: datetime, end: datetime) -> list[tuple[datetime, datetime, list[datetime]]]:
    """Return each minute of a span: the instant, what the clock shows, and the local minutes that were reached just then.

    In an overlap nothing new is reached; right after a gap, all that it left out.
    """
    highest = (start - DAY).astimezone(zone).replace(tzinfo=None)
    moment = start - DAY
    rows = []
    while moment <= end:
        wall = moment.astimezone(zone).replace(tzinfo=None)
        reached = []
        while highest < wall:
            highest += MINUTE
            reached.append(highest)
        if moment >= start:
            rows.append((moment, wall, reached))
        moment += MINUTE
    return rows


def ticks(line: Line, policy: str, rows: list[tuple[datetime, datetime, list[datetime]]]) -> Iterator[datetime]:
    """Give the ticks of a line in a walk."""
    once = line.is_fixed if policy == "auto" else policy != "every"
    for instant, wall, reached in rows:
        if not once:
            fires = line.has(wall)
        elif policy == "skip":
            fires = wall in reached and line.has(wall)
        else:
            fires = any(line.has(minute) for minute in reached)
        if fires:
            yield instant


def utc(*parts: int) -> datetime:
    """Make an instant."""
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]
