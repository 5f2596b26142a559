"""Drawings made on the server: how a run spent its time, and where a workflow stands. Foreign text is escaped as any."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_tasks_durable.snapshots.spans import Span
from django_tasks_durable.snapshots.text import duration, plain

# --- how a run spent its time

BAND_WIDTH, BAND_HEIGHT = 1000.0, 22


def time_band(spans: Sequence[Span]) -> SafeString:
    """Draw spans as one band from the enqueue to now, each as wide as it was long."""
    if not spans:
        return SafeString("")
    begin, end = spans[0].begin, spans[-1].end
    scale = BAND_WIDTH / max((end - begin).total_seconds(), 1e-6)
    bars = (
        (
            span.kind.slug,
            f"{(span.begin - begin).total_seconds() * scale:.1f}",
            f"{max(span.seconds * scale, 2.0):.1f}",
            BAND_HEIGHT,
            f"{span.kind.label}: {duration(span.seconds)}",
        )
        for span in spans
    )
    return format_html(
        '<svg class="dtd-band" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>',
        int(BAND_WIDTH),
        BAND_HEIGHT,
        _("How the time was spent"),
        format_html_join(
            "",
            '<rect data-span="{}" x="{}" y="0" width="{}" height="{}"><title>{}</title></rect>',
            bars,
        ),
    )


# --- where a workflow stands

BOX_WIDTH, BOX_HEIGHT, GAP_X, GAP_Y, MARGIN = 170, 34, 26, 40, 14
LONGEST_NAME = 22

Graph = Mapping[str, Any]


def workflow(graph: Graph, *, current: str, is_over: bool) -> SafeString:
    """Draw the steps of a workflow, a rank below the other, and the moves between; mark where it stands."""
    places = _places(graph)
    right = max(x for x, _y in places.values()) + BOX_WIDTH
    bottom = max(y for _x, y in places.values()) + BOX_HEIGHT
    # Ways back lie in the lane on the right.
    width, height = right + 2 * MARGIN + 30, bottom + GAP_Y + MARGIN
    boxes = [_box(name, places[name], _standing(name, current, is_over)) for name in places]
    said = (
        _("The workflow has ended.") if is_over else _("The workflow stands at %s.") % plain(current or graph["start"])
    )
    return format_html(
        '<svg class="dtd-graph" viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="{}">{}{}{}</svg>',
        width, height, width, height, said,
        _ways(graph, places, right),
        _exits(graph, places, bottom, is_over=is_over),
        SafeString("".join(boxes)),
    )  # fmt: skip


def _standing(name: str, current: str, is_over: bool) -> str:
    if name != current:
        return "other"
    return "last" if is_over else "current"


def _places(graph: Graph) -> dict[str, tuple[int, int]]:
    """Give each step its place: by how many moves it is from the start, those of one rank beside each other."""
    targets = {step["name"]: [to for to in step["to"] if to is not None] for step in graph["steps"]}
    ranks = {graph["start"]: 0}
    queue = [graph["start"]]
    while queue:
        name = queue.pop(0)
        for to in targets.get(name, ()):
            if to not in ranks:
                ranks[to] = ranks[name] + 1
                queue.append(to)
    for name in targets:
        ranks.setdefault(name, max(ranks.values()) + 1)
    rows: dict[int, list[str]] = {}
    for name in targets:
        rows.setdefault(ranks[name], []).append(name)
    widest = max(len(row) for row in rows.values())
    places = {}
    for rank, row in sorted(rows.items()):
        indent = (widest - len(row)) * (BOX_WIDTH + GAP_X) // 2
        for place, name in enumerate(row):
            x = MARGIN + indent + place * (BOX_WIDTH + GAP_X)
            places[name] = (x, MARGIN + rank * (BOX_HEIGHT + GAP_Y))
    return places


def _box(name: str, place: tuple[int, int], standing: str) -> SafeString:
    x, y = place
    shown = plain(name)
    return format_html(
        '<g data-standing="{}"><title>{}</title><rect x="{}" y="{}" width="{}" height="{}" rx="7"></rect>'
        '<text x="{}" y="{}" text-anchor="middle">{}</text></g>',
        standing, shown, x, y, BOX_WIDTH, BOX_HEIGHT, x + BOX_WIDTH // 2, y + BOX_HEIGHT // 2 + 4,
        shown if len(shown) <= LONGEST_NAME else f"{shown[: LONGEST_NAME - 1]}…",
    )  # fmt: skip


def _ways(graph: Graph, places: Mapping[str, tuple[int, int]], right: int) -> SafeString:
    lines = [
        _way(places[step["name"]], places[to], right) for step in graph["steps"] for to in step["to"] if to is not None
    ]
    return _paths("dtd-way", lines)


def _way(start: tuple[int, int], end: tuple[int, int], right: int) -> str:
    (x1, y1), (x2, y2) = start, end
    middle = BOX_WIDTH // 2
    if y2 > y1:
        top, low = y1 + BOX_HEIGHT, y2
        bend = (low - top) // 2
        tip = f"M{x2 + middle - 4} {low - 7}L{x2 + middle} {low}L{x2 + middle + 4} {low - 7}"
        return f"M{x1 + middle} {top}C{x1 + middle} {top + bend} {x2 + middle} {low - bend} {x2 + middle} {low}{tip}"
    lane = right + 22
    out, back = y1 + BOX_HEIGHT * 2 // 3, y2 + BOX_HEIGHT // 3
    edge = x2 + BOX_WIDTH
    tip = f"M{edge + 7} {back - 4}L{edge} {back}L{edge + 7} {back + 4}"
    return f"M{x1 + BOX_WIDTH} {out}C{lane + 12} {out} {lane + 12} {back} {edge} {back}{tip}"


def _exits(graph: Graph, places: Mapping[str, tuple[int, int]], bottom: int, *, is_over: bool) -> SafeString:
    """Draw the end below all, and the ways to it."""
    leaving = [step["name"] for step in graph["steps"] if None in step["to"]]
    if not leaving:
        return SafeString("")
    x = sum(places[name][0] for name in leaving) // len(leaving) + BOX_WIDTH // 2
    y = bottom + GAP_Y - 8
    lines = []
    for name in leaving:
        x1, y1 = places[name][0] + BOX_WIDTH // 2, places[name][1] + BOX_HEIGHT
        lines.append(f"M{x1} {y1}C{x1} {y1 + 14} {x} {y - 20} {x} {y - 7}")
    return format_html(
        '{}<circle class="dtd-end" cx="{}" cy="{}" r="7" data-standing="{}"><title>{}</title></circle>',
        _paths("dtd-way", lines), x, y, "last" if is_over else "other", _("End"),
    )  # fmt: skip


def _paths(kind: str, lines: Iterable[str]) -> SafeString:
    return format_html_join("", '<path class="{}" d="{}"></path>', ((kind, line) for line in lines))
