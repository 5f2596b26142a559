"""Charts drawn on the server: what ended per minute, and how long runs waited and ran. Numbers and our own words only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from django.template.defaultfilters import date as format_date
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_tasks_durable.primitives.policies import TickOutcome
from django_tasks_durable.snapshots.charts import Chart, Point
from django_tasks_durable.snapshots.schedules import TickSnapshot
from django_tasks_durable.snapshots.text import duration

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 640, 170, 46, 22, 10
FIELD = HEIGHT - BOTTOM - TOP
STACKED = ("succeeded", "failed", "cancelled")

Value = Callable[[Point], float | None]


def throughput(chart: Chart) -> SafeString:
    """Draw how many runs ended in each minute or hour, by how they ended."""
    most = max((_ended(point) for point in chart.points), default=0)
    top = _nice(most)
    step = (WIDTH - LEFT) / len(chart.points)
    bars = list(_bars(chart.points, top, step))
    total = chart.total
    said = _("%(succeeded)d succeeded, %(failed)d failed, %(cancelled)d cancelled") % {
        "succeeded": total.succeeded, "failed": total.failed, "cancelled": total.cancelled,
    }  # fmt: skip
    drawn = format_html_join(
        "", '<rect data-ended="{}" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>', bars
    )
    return _framed(said, drawn, chart, str(top), str(top // 2) if top > 1 else "")


def latency(chart: Chart) -> SafeString:
    """Draw how long runs waited and how long they took: for every second one, and for nineteen of twenty."""
    values: dict[str, Value] = {
        "wait": lambda point: point.wait_p95,
        "wait-half": lambda point: point.wait_p50,
        "took": lambda point: point.duration_p95,
        "took-half": lambda point: point.duration_p50,
    }
    found = [value(point) for value in values.values() for point in chart.points]
    top = max((each for each in found if each is not None), default=0.0) or 1.0
    step = (WIDTH - LEFT) / len(chart.points)
    lines = [
        (name, path) for name, value in values.items() if (path := _path([value(p) for p in chart.points], top, step))
    ]
    said = _("95 of 100 waited less than %(wait)s and took less than %(took)s") % {
        "wait": duration(chart.total.wait_p95) or "?", "took": duration(chart.total.duration_p95) or "?",
    }  # fmt: skip
    drawn = format_html_join("", '<path data-line="{}" d="{}"></path>', lines)
    return _framed(said, drawn, chart, duration(top), duration(top / 2))


def ticks(recent: Sequence[TickSnapshot]) -> SafeString:
    """Draw the last ticks of a schedule: each as high as its run took, in the colour of what became of it."""
    took = [(each.run.run_seconds or 0.0) if each.run else 0.0 for each in recent]
    most = max(took) or 1.0
    bars = [
        (_became(each), place * 7, *_standing(seconds / most), _said_of(each, seconds))
        for place, (each, seconds) in enumerate(zip(recent, took, strict=True))
    ]
    failed = sum(_became(each) == "failed" for each in recent)
    said = _("The last %(count)d ticks, of which %(failed)d failed") % {"count": len(recent), "failed": failed}
    width = len(bars) * 7
    return format_html(
        '<svg class="dtd-spark" viewBox="0 0 {} 18" width="{}" height="18" role="img" aria-label="{}">{}</svg>',
        width, width, said,
        format_html_join(
            "", '<rect data-ended="{}" x="{}" y="{}" width="5" height="{}"><title>{}</title></rect>', bars
        ),
    )  # fmt: skip


def _standing(part: float) -> tuple[str, str]:
    high = 16 * max(part, 0.15)
    return f"{18 - high:.1f}", f"{high:.1f}"


def _became(each: TickSnapshot) -> str:
    if each.run is None:
        return "skipped"
    return each.run.state.value if each.run.is_finished else "open"


def _said_of(each: TickSnapshot, seconds: float) -> str:
    there = timezone.localtime(each.tick) if timezone.is_aware(each.tick) else each.tick
    became = str(TickOutcome(each.outcome).label) if each.run is None else str(each.run.state.label)
    return f"{format_date(there, 'H:i')}: {became}" + (f", {duration(seconds)}" if seconds else "")


def _ended(point: Point) -> int:
    return point.succeeded + point.failed + point.cancelled


def _nice(most: int) -> int:
    """Round up to a number that halves well: 2, 4, 10, 20, 40, 100 and so on."""
    size = 1
    while True:
        for factor in (2, 4, 10):
            if size * factor >= most:
                return size * factor
        size *= 10


def _bars(points: Sequence[Point], top: int, step: float) -> Iterator[tuple[str, str, str, str, str, str]]:
    for place, point in enumerate(points):
        base = float(TOP + FIELD)
        title = f"{_at(point)}: " + _("%(succeeded)d succeeded, %(failed)d failed, %(cancelled)d cancelled") % {
            "succeeded": point.succeeded, "failed": point.failed, "cancelled": point.cancelled,
        }  # fmt: skip
        for name in STACKED:
            if not (number := getattr(point, name)):
                continue
            high = max(number / top * FIELD, 1.5)
            base -= high
            yield name, f"{LEFT + place * step + 0.7:.1f}", f"{base:.1f}", f"{step - 1.4:.1f}", f"{high:.1f}", title


def _path(values: Sequence[float | None], top: float, step: float) -> str:
    """Draw a line through what there is; where there is nothing it is interrupted, and a lone point is a dash."""
    drawn, is_down = [], False
    for place, value in enumerate(values):
        if value is None:
            is_down = False
            continue
        x, y = LEFT + (place + 0.5) * step, TOP + FIELD * (1 - value / top)
        drawn.append(f"L{x:.1f} {y:.1f}" if is_down else f"M{x - 2:.1f} {y:.1f}L{x + 2:.1f} {y:.1f}")
        is_down = True
    return "".join(drawn)


def _framed(said: str, drawn: SafeString, chart: Chart, top: str, middle: str) -> SafeString:
    y = TOP + FIELD
    return format_html(
        '<svg class="dtd-chart" viewBox="0 0 {} {}" role="img" aria-label="{}">'
        '<path class="dtd-grid" d="M{} {}H{}M{} {}H{}M{} {}H{}"></path>{}'
        '<text x="{}" y="{}" text-anchor="end">{}</text><text x="{}" y="{}" text-anchor="end">{}</text>'
        '<text x="{}" y="{}">{}</text><text x="{}" y="{}" text-anchor="end">{}</text></svg>',
        WIDTH, HEIGHT, said,
        LEFT, TOP, WIDTH, LEFT, TOP + FIELD // 2, WIDTH, LEFT, y, WIDTH, drawn,
        LEFT - 6, TOP + 4, top, LEFT - 6, TOP + FIELD // 2 + 4, middle,
        LEFT, HEIGHT - 5, _at(chart.points[0]), WIDTH, HEIGHT - 5, _at(chart.points[-1]),
    )  # fmt: skip


def _at(point: Point) -> str:
    there = timezone.localtime(point.at) if timezone.is_aware(point.at) else point.at
    return format_date(there, "H:i")
