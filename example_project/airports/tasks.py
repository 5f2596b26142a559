"""The main job of the example project: import the world's airports.

Everything that touches the outside happens in a step, so the worker may die anywhere and another goes on from there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict
from uuid import UUID

from django_tasks_durable import task
from django_tasks_durable.exceptions import NonRetryable

from . import hops, report, rules, source, writing
from .models import Airport
from .source import Source

if TYPE_CHECKING:
    from django_tasks_durable.engine.context import DurableContext

QUEUE = "airports"
CHUNK_ROWS = 250
COUNTRIES_AT_ONCE = 12
EXAMPLES = 4

KEEP, DROP, MARK = "keep", "drop", "mark"
DECISIONS = {
    KEEP: "keep the doubtful rows as they are",
    DROP: "drop the doubtful rows",
    MARK: "keep them, with their doubts written beside them",
}

# Where in the run each part begins and ends, in percent.
CHUNKS_BEGIN, CHUNKS_END, HOPS_BEGIN, HOPS_END = 1, 80, 85, 97


class Found(TypedDict):
    """What the file is, before a row of it is written."""

    release: str
    digest: str
    rows: int
    chunks: int


class Doubts(TypedDict):
    """The doubtful rows: how many for each reason, a few of each to look at, and why each one is in doubt."""

    counts: dict[str, int]
    examples: dict[str, list[str]]
    reasons: dict[str, list[str]]


class CountryHop(TypedDict):
    """The longest hop of a country."""

    country: str
    start: str
    end: str
    km: float


class Figures(TypedDict):
    """What the import came to."""

    release: str
    rows_read: int
    rows_written: int
    rows_refused: int
    rows_dropped: int
    chunks: int
    doubtful: dict[str, int]
    decision: str
    longest_hops: list[CountryHop]
    report: str


class FileChanged(NonRetryable):
    """The file on disk is not the one that this run began with."""

    code = "FILE_CHANGED"


class Overwritten(NonRetryable):
    """Another import wrote over rows of this one."""

    code = "OVERWRITTEN"


class NoTimeZones(NonRetryable):
    """This machine has no time zone database, so no row can be checked against it."""

    code = "NO_TIME_ZONES"


@task(queue_name=QUEUE, max_attempts=3)
def import_airports(context: DurableContext, chunk_rows: int = CHUNK_ROWS, atomic: bool = True) -> Figures:
    """Import every airport of the installed file, ask a person about the doubtful ones, and write a report.

    ``atomic=False`` writes the chunks in plain steps: after a crash one of them is written twice.
    """
    file = source.read()
    found: Found = context.step("look at the file", partial(look_at, file, chunk_rows))
    if file.digest != found["digest"]:
        raise FileChanged(f"The run began with release {found['release']}, this is {file.release}. Start a new run.")
    context.log(f"Release {found['release']} has {found['rows']:,} rows, that is {found['chunks']} chunks.")

    chunks = write_chunks(context, file, found, chunk_rows, atomic=atomic)
    written = sum(chunk["written"] for chunk in chunks)
    refused = [each for chunk in chunks for each in chunk["refused"]]
    for code, problem in refused[:20]:
        context.log(f"{code} was refused: {problem}", level="warn")

    context.progress(CHUNKS_END, "Looking for doubtful rows")
    doubts: Doubts = context.step("find the doubtful rows", partial(find_doubts, context.run_id))
    decision = ask_about(context, doubts)
    dropped: int = context.step(
        "apply the decision", partial(apply_decision, context.run_id, decision, doubts["reasons"]), atomic=True
    )
    context.log(
        f"{doubts['counts']['rows']:,} rows are doubtful. The decision: {DECISIONS[decision]}.", level="success"
    )

    countries: dict[str, int] = context.step(
        "count the rows", partial(count_written, context.run_id, written - dropped)
    )
    rows = sum(countries.values())
    context.progress(HOPS_BEGIN, "Measuring the longest hops", rows=rows, countries=countries)
    longest = measure_hops(context, file)
    figures: Figures = {
        "release": found["release"],
        "rows_read": found["rows"],
        "rows_written": rows,
        "rows_refused": len(refused),
        "rows_dropped": dropped,
        "chunks": found["chunks"],
        "doubtful": doubts["counts"],
        "decision": decision,
        "longest_hops": longest,
        "report": "",
    }
    context.progress(HOPS_END, "Writing the report")
    figures["report"] = context.step(
        "write the report", partial(report.write, context.run_id, figures, doubts["examples"])
    )
    context.progress(100, "Done")
    return figures


def look_at(file: Source, chunk_rows: int) -> Found:
    """Take down what the file is, so that a later attempt can tell whether it still is the same."""
    if not rules.known_time_zones():
        raise NoTimeZones("Python finds no time zone database. Install the operating system's, or: pip install tzdata.")
    return {
        "release": file.release,
        "digest": file.digest,
        "rows": len(file.rows),
        "chunks": file.count_chunks(chunk_rows),
    }


def write_chunks(
    context: DurableContext, file: Source, found: Found, chunk_rows: int, *, atomic: bool
) -> list[writing.Written]:
    """Write the file chunk by chunk, each in a step of its own."""
    writer = writing.ChunkWriter(
        source=file,
        repeated=rules.repeated_codes(file.rows),
        size=chunk_rows,
        run=context.run_id,
        attempt=context.attempt,
    )
    done: list[writing.Written] = []
    countries = Counter[str]()
    for number in range(1, found["chunks"] + 1):
        done.append(context.step(f"chunk {number}", writer.write, number, atomic=atomic))
        countries.update(done[-1]["countries"])
        percent = CHUNKS_BEGIN + (CHUNKS_END - CHUNKS_BEGIN) * number / found["chunks"]
        context.progress(
            round(percent, 1),
            f"Chunk {number} of {found['chunks']}",
            rows=min(number * chunk_rows, found["rows"]),
            countries=dict(sorted(countries.items())),
        )
    return done


def find_doubts(run: UUID) -> Doubts:
    """Gather the doubtful rows among those that the run wrote."""
    airports = {airport.icao: airport for airport in Airport.objects.filter(run=run).order_by("icao")}
    doubtful = rules.doubtful(airports.values())

    def show(codes: Sequence[str]) -> str:
        airport = airports[codes[0]]
        return f"{' and '.join(codes)}: {airport.name}, {airport.city or 'no city'}, {airport.country}"

    return {
        "counts": {
            "rows": len(doubtful.reasons),
            rules.NO_CITY: len(doubtful.no_city),
            rules.SAME_NAME: len(doubtful.same_name),
            rules.SAME_SPOT: len(doubtful.same_spot),
        },
        "examples": {
            rules.NO_CITY: [show([code]) for code in doubtful.no_city[:EXAMPLES]],
            rules.SAME_NAME: [show(codes) for codes in doubtful.same_name[:EXAMPLES]],
            rules.SAME_SPOT: [show(codes) for codes in doubtful.same_spot[:EXAMPLES]],
        },
        "reasons": doubtful.reasons,
    }


def ask_about(context: DurableContext, doubts: Doubts) -> str:
    """Wait for a person's decision; ask again until it is one of the choices."""
    question: dict[str, Any] = {
        "question": f"What shall become of the {doubts['counts']['rows']:,} doubtful rows?",
        "choices": DECISIONS,
        "counts": doubts["counts"],
        "examples": doubts["examples"],
    }
    context.progress(HOPS_BEGIN, "Waiting for a decision about the doubtful rows")
    while True:
        answer = context.interrupt(question)
        decision = answer.get("decision") if isinstance(answer, dict) else answer
        if isinstance(decision, str) and decision in DECISIONS:
            return decision
        context.log(f"{answer!r} is not one of {', '.join(DECISIONS)}.", level="warn")


def apply_decision(run: UUID, decision: str, reasons: dict[str, list[str]]) -> int:
    """Do what the person decided and tell how many rows were dropped."""
    if decision == DROP:
        return writing.drop(run, reasons)
    if decision == MARK:
        writing.mark(run, reasons)
    return 0


def count_written(run: UUID, expected: int) -> dict[str, int]:
    """Count the run's rows of each country in the database. Raise Overwritten when another import took some of them."""
    countries = writing.count_by_country(run)
    found = sum(countries.values())
    if found != expected:
        raise Overwritten(f"This run wrote {expected:,} rows, {found:,} are left: another import took the others.")
    return countries


def measure_hops(context: DurableContext, file: Source) -> list[CountryHop]:
    """Find each country's longest hop, a few countries at a time; the longest comes first."""
    countries = sorted({row.country for row in file.rows})
    longest: list[CountryHop] = []
    for start in range(0, len(countries), COUNTRIES_AT_ONCE):
        some = countries[start : start + COUNTRIES_AT_ONCE]
        part = HOPS_BEGIN + (HOPS_END - HOPS_BEGIN) * start / len(countries)
        context.progress(round(part, 1), f"Longest hops, {some[0]} to {some[-1]}")
        longest += context.step(f"longest hops {some[0]}-{some[-1]}", partial(longest_hops, context.run_id, some))
    return sorted(longest, key=lambda hop: (-hop["km"], hop["country"]))


def longest_hops(run: UUID, countries: Sequence[str]) -> list[CountryHop]:
    """Find the longest hop of each country that has more than one airport in the database."""
    found = (
        (country, hops.longest_hop(points)) for country, points in writing.points_by_country(run, countries).items()
    )
    return [{"country": country, "start": hop.start, "end": hop.end, "km": hop.km} for country, hop in found if hop]
