"""The report: one HTML page with the figures, the map and every country's longest hop."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.conf import settings
from django.contrib.staticfiles import finders
from django.template.loader import render_to_string
from django.utils.safestring import mark_safe

from . import maps, rules
from .hops import Point
from .models import Airport

if TYPE_CHECKING:
    from .tasks import CountryHop, Figures

STYLE_SHEET = "airports/report.css"
ARCS_DRAWN = 25


def directory() -> Path:
    """Return where reports go: the setting AIRPORTS_REPORT_DIR."""
    return Path(settings.AIRPORTS_REPORT_DIR)


def path_of(run: UUID) -> Path:
    """Return where a run's report is, or will be."""
    return directory() / f"airports-{run}.html"


def write(run: UUID, figures: Figures, examples: Mapping[str, Sequence[str]]) -> str:
    """Write the report and return its path. Writing it again gives the same file."""
    path = path_of(run)
    path.parent.mkdir(parents=True, exist_ok=True)
    style = finders.find(STYLE_SHEET)
    if not isinstance(style, str):
        raise FileNotFoundError(
            f"There is no static file {STYLE_SHEET}: add django.contrib.staticfiles to INSTALLED_APPS."
        )
    put(path.parent / "report.css", Path(style).read_text(encoding="utf-8"))
    put(path, render(run, figures, examples))
    return str(path)


def put(path: Path, text: str) -> None:
    """Write a file so that nobody ever sees half of it, not even after a crash."""
    half = path.with_name(f".{path.name}.{os.getpid()}")
    half.write_text(text, encoding="utf-8")
    half.replace(path)


def render(run: UUID, figures: Figures, examples: Mapping[str, Sequence[str]]) -> str:
    """Render the page."""
    airports = {airport.icao: airport for airport in Airport.objects.filter(run=run).order_by("icao")}
    hops = [_tell(hop, airports) for hop in figures["longest_hops"]]
    drawing = maps.draw(
        [point(airport) for airport in airports.values()],
        [_arc(hop) for hop in hops[:ARCS_DRAWN]],
        title=f"{len(airports):,} airports",
        description=f"Every airport is a dot, the lines are longest hops of {min(ARCS_DRAWN, len(hops))} countries.",
    )
    doubts = [
        {"reason": words, "times": figures["doubtful"][reason], "examples": examples[reason]}
        for reason, words in rules.REASONS.items()
    ]
    return render_to_string(
        "airports/report.html",
        # The map is our own markup; every text in it was escaped when it was drawn.
        {
            "run": run,
            "figures": figures,
            "map": mark_safe(drawing),
            "hops": hops,
            "doubts": doubts,
            "drawn": ARCS_DRAWN,
        },
    )


def point(airport: Airport) -> Point:
    """Reduce an airport to its code and position."""
    return Point(airport.icao, airport.latitude, airport.longitude)


def _tell(hop: CountryHop, airports: Mapping[str, Airport]) -> dict[str, Any]:
    return {
        "country": hop["country"],
        "start": airports[hop["start"]],
        "end": airports[hop["end"]],
        "km": hop["km"],
    }


def _arc(hop: Mapping[str, Any]) -> maps.Arc:
    words = f"{hop['country']}: {hop['start'].name} to {hop['end'].name}, {hop['km']:,.0f} km"
    return maps.Arc(point(hop["start"]), point(hop["end"]), words)
