"""When a schedule ticks: a cron line in a time zone, or an interval. All instants are whole seconds in UTC."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from itertools import takewhile
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from django_tasks_durable.exceptions import InvalidSchedule

from .policies import DaylightSaving

LONGEST_CRON = 200
LAST_YEAR = 9000
LONGEST_INTERVAL = 10 * 366 * 86_400
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
UNITS = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
SECOND = timedelta(seconds=1)
# No zone of our days sets its clocks back by more than this.
LONGEST_OVERLAP = timedelta(hours=3)
# The library looks fifty years ahead, and weekdays and leap days come round in twenty-eight.
CYCLE_START = datetime(2000, 1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """A cron line, or the seconds between two ticks, which then are multiples of it since 1970 in UTC.

    Raise InvalidSchedule for a line that is none or never fires, for an unknown zone and for an interval below a second.
    """

    cron: str = ""
    interval_seconds: int | None = None
    zone: str = "UTC"
    dst: DaylightSaving = DaylightSaving.AUTO
    _place: ZoneInfo | timezone = field(init=False, repr=False, compare=False, default=UTC)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_place", _zone(self.zone))
        if self.dst not in DaylightSaving.values:
            raise InvalidSchedule("dst", self.dst, f"Give one of {', '.join(DaylightSaving.values)}.")
        if self.interval_seconds is not None and not self.cron:
            _expect_interval(self.interval_seconds)
        elif self.interval_seconds is None:
            _expect_cron(self.cron)
        else:
            raise InvalidSchedule("cron", self.cron, "Give either a cron line or an interval, not both.")

    @property
    def words(self) -> str:
        """The timing in English."""
        if self.interval_seconds is not None:
            return _every(self.interval_seconds)
        return f"{CronSim(self.cron, CYCLE_START).explain()} ({self.zone})"

    def local(self, instant: datetime) -> datetime:
        """Read an instant, a naive one as local time of the zone. Raise InvalidSchedule for what no schedule knows."""
        if not 1971 <= instant.year <= LAST_YEAR:
            raise InvalidSchedule("instant", instant.isoformat(), f"Give one from 1971 to {LAST_YEAR}.")
        aware = instant if instant.tzinfo is not None else instant.replace(tzinfo=self._place)
        return aware.astimezone(UTC)

    def after(self, instant: datetime) -> Iterator[datetime]:
        """Give the ticks after an instant, in order."""
        instant = instant.astimezone(UTC)
        if self.interval_seconds is not None:
            return self._multiples_after(instant)
        return self._each_once(instant) if self._fires_once else self._whenever_shown(instant)

    def next_after(self, instant: datetime) -> datetime | None:
        """Return the first tick after an instant; None when there is no more."""
        return next(self.after(instant), None)

    def newest(self, *, after: datetime, until: datetime, count: int) -> list[datetime]:
        """Return the last ``count`` ticks after one instant and until another, in order.

        Looks backwards in growing spans, so that a year of missed seconds costs no more than the answer.
        """
        span = timedelta(seconds=max(60, (self.interval_seconds or 0) * count))
        while True:
            start = max(after, until - span)
            found = deque(takewhile(lambda tick: tick <= until, self.after(start)), maxlen=count)
            if len(found) == count or start == after:
                return list(found)
            span *= 4

    def between(self, start: datetime, end: datetime) -> Iterator[datetime]:
        """Give the ticks from one instant to another, both included; naive ones are local time of the zone."""
        last = self.local(end)
        return takewhile(lambda tick: tick <= last, self.after(self.local(start) - timedelta(microseconds=1)))

    @property
    def _fires_once(self) -> bool:
        if self.dst != DaylightSaving.AUTO:
            return self.dst != DaylightSaving.EVERY
        # As Debian's cron has it: a line whose minute and hour (and second) are given means moments of the local day.
        return not any(part.startswith("*") for part in self.cron.split()[:-3])

    def _multiples_after(self, instant: datetime) -> Iterator[datetime]:
        assert self.interval_seconds is not None
        step = timedelta(seconds=self.interval_seconds)
        tick = EPOCH + ((instant - EPOCH) // step + 1) * step
        while True:
            yield tick
            tick += step

    def _wall(self, instant: datetime) -> datetime:
        return instant.astimezone(self._place).replace(tzinfo=None, fold=0)

    def _shown(self, wall: datetime) -> list[datetime]:
        """Return the instants at which clocks of the zone show a local time: one, none in a gap, two in an overlap."""
        first, second = (wall.replace(tzinfo=self._place, fold=fold).astimezone(UTC) for fold in (0, 1))
        if first == second:
            return [first]
        return [first, second] if first < second else []

    def _each_once(self, instant: datetime) -> Iterator[datetime]:
        last = instant
        for wall in CronSim(self.cron, self._wall(instant)):
            shown = self._shown(wall)
            if shown:
                tick = shown[0]
            elif self.dst == DaylightSaving.SKIP:
                continue
            else:
                tick = self._end_of_gap(wall)
            if tick > last:
                last = tick
                yield tick

    def _end_of_gap(self, wall: datetime) -> datetime:
        """Return the first instant after the gap that a local time lies in."""
        after, before = (wall.replace(tzinfo=self._place, fold=fold).astimezone(UTC) for fold in (0, 1))
        offset = after.astimezone(self._place).utcoffset()
        while after - before > SECOND:
            middle = before + ((after - before) // SECOND // 2) * SECOND
            if middle.astimezone(self._place).utcoffset() == offset:
                after = middle
            else:
                before = middle
        return after

    def _whenever_shown(self, instant: datetime) -> Iterator[datetime]:
        offsets = [(instant + ahead).astimezone(self._place).utcoffset() for ahead in (timedelta(0), LONGEST_OVERLAP)]
        assert offsets[0] is not None
        assert offsets[1] is not None
        waiting: list[datetime] = []
        # In an overlap, times that the clock has shown come again.
        for wall in CronSim(self.cron, self._wall(instant) - max(timedelta(0), offsets[0] - offsets[1])):
            if not (shown := self._shown(wall)):
                continue
            waiting = sorted([*waiting, *(tick for tick in shown if tick > instant)])
            # Whatever local time comes next is first shown after this one was.
            while waiting and waiting[0] <= shown[0]:
                yield waiting.pop(0)
        yield from waiting


def _every(seconds: int) -> str:
    size, unit = next((size, unit) for size, unit in UNITS if seconds % size == 0)
    number = seconds // size
    return f"Every {unit}" if number == 1 else f"Every {number} {unit}s"


def _zone(name: object) -> ZoneInfo | timezone:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(str(name))
    except (KeyError, ValueError, OSError):
        raise InvalidSchedule("tz", name, "There is no such time zone. Give a name such as 'Europe/Paris'.") from None


def _expect_interval(seconds: object) -> None:
    if isinstance(seconds, bool) or not isinstance(seconds, int) or not 1 <= seconds <= LONGEST_INTERVAL:
        raise InvalidSchedule("interval", seconds, "Give whole seconds, from one to ten years.")


def _expect_cron(line: object) -> None:
    if not isinstance(line, str) or len(line) > LONGEST_CRON:
        raise InvalidSchedule("cron", line, f"Give a cron line of at most {LONGEST_CRON} characters.")
    if line.startswith("@"):
        raise InvalidSchedule("cron", line, "Write out the five fields: '@daily' is '0 0 * * *'.")
    try:
        first = next(CronSim(line, CYCLE_START), None)
    except CronSimError as error:
        hint = "Five fields are minute, hour, day of month, month, day of week; six begin with the second."
        raise InvalidSchedule("cron", line, f"{error}. {hint}") from None
    if first is None:
        raise InvalidSchedule("cron", line, "It never fires.")
