"""The import on a file of a few rows, run on the spot."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from django_tasks_durable import testing
from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.snapshots import read
from django_tasks_durable.snapshots.shapes import RunSnapshot
from django_tasks_durable.store import control
from example_project.airports import report, rules, source, tasks
from example_project.airports.models import Airport

pytestmark = pytest.mark.django_db

ROWS = [
    source.Row("EDDF", "FRA", "Frankfurt", "Frankfurt", "", "DE", "364", "50.03", "8.54", "Europe/Berlin", ""),
    source.Row("EDDH", "HAM", "Hamburg", "Hamburg", "", "DE", "53", "53.63", "9.99", "Europe/Berlin", ""),
    source.Row("EDDM", "MUC", "Munich", "Munich", "", "DE", "1487", "48.35", "11.79", "Europe/Berlin", ""),
    source.Row("EDXX", "", "Nowhere <b>", "", "", "DE", "0", "54.9", "8.3", "Europe/Berlin", ""),
    source.Row("EDYY", "", "Wrong", "Town", "", "DE", "0", "95", "8.3", "Europe/Berlin", ""),
    source.Row("LFPG", "CDG", "Paris", "Paris", "", "FR", "392", "49.01", "2.55", "Europe/Paris", ""),
]


@pytest.fixture(autouse=True)
def file(monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path) -> source.Source:
    """Put a small file where the installed one is, and the reports into the test's directory."""
    small = source.Source(release="1", digest="one", rows=ROWS)
    monkeypatch.setattr(source, "read", lambda: small)
    settings.AIRPORTS_REPORT_DIR = tmp_path
    return small


@pytest.fixture
def asking() -> UUID:
    """Run an import up to its question."""
    run = UUID(tasks.import_airports.enqueue(chunk_rows=2).id)
    assert drained(run).status is RunStatus.WAITING
    return run


def drained(run: UUID) -> RunSnapshot:
    """Run what is due and look at the run."""
    testing.drain()
    return read.one(run, using="default")


def answer(run: UUID, value: object) -> RunSnapshot:
    """Answer the run's question and let it go on."""
    control.resume(run, value, using="default", by="test")
    return drained(run)


def test_the_question_tells_what_it_is_about(asking: UUID) -> None:
    (wait,) = read.waits(asking, using="default")
    assert wait.request["counts"] == {"rows": 1, rules.NO_CITY: 1, rules.SAME_NAME: 0, rules.SAME_SPOT: 0}
    assert wait.request["examples"][rules.NO_CITY] == ["EDXX: Nowhere <b>, no city, DE"]
    assert set(wait.request["choices"]) == {"keep", "drop", "mark"}


@pytest.mark.parametrize(
    ("decision", "codes", "doubts", "farthest"),
    [
        ("keep", {"EDDF", "EDDH", "EDDM", "EDXX", "LFPG"}, set(), ("EDDM", "EDXX")),
        ("mark", {"EDDF", "EDDH", "EDDM", "EDXX", "LFPG"}, {"no_city"}, ("EDDM", "EDXX")),
        ("drop", {"EDDF", "EDDH", "EDDM", "LFPG"}, set(), ("EDDH", "EDDM")),
    ],
)
def test_the_decision_is_carried_out(
    asking: UUID, decision: str, codes: set[str], doubts: set[str], farthest: tuple[str, str]
) -> None:
    end = answer(asking, {"decision": decision})
    assert end.status is RunStatus.SUCCESSFUL, end.errors
    assert set(Airport.objects.values_list("icao", flat=True)) == codes
    assert set(Airport.objects.exclude(doubts="").values_list("doubts", flat=True)) == doubts
    figures = end.result
    assert (figures["rows_read"], figures["rows_refused"], figures["rows_written"]) == (6, 1, len(codes))
    (hop,) = figures["longest_hops"]
    assert (hop["country"], hop["start"], hop["end"]) == ("DE", *farthest)


def test_an_answer_that_is_no_choice_is_asked_for_again(asking: UUID) -> None:
    assert answer(asking, {"decision": "burn"}).status is RunStatus.WAITING
    assert answer(asking, None).status is RunStatus.WAITING
    assert answer(asking, "keep").status is RunStatus.SUCCESSFUL


def test_a_file_that_changed_meanwhile_ends_the_run(
    asking: UUID, file: source.Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "read", lambda: source.Source(release="2", digest="two", rows=file.rows))
    end = answer(asking, "keep")
    assert (end.status, end.error_code) == (RunStatus.FAILED, "FILE_CHANGED")


def test_an_import_that_another_one_wrote_over_says_so(asking: UUID) -> None:
    # Run before the answer is given: due in the same millisecond, either of the two might come first.
    drained(UUID(tasks.import_airports.enqueue(chunk_rows=2).id))
    end = answer(asking, "keep")
    assert (end.status, end.error_code) == (RunStatus.FAILED, "OVERWRITTEN")


def test_a_machine_without_time_zones_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "known_time_zones", frozenset)
    end = drained(UUID(tasks.import_airports.enqueue().id))
    assert (end.status, end.error_code) == (RunStatus.FAILED, "NO_TIME_ZONES")
    assert "pip install tzdata" in end.errors[-1].message


def test_the_refused_row_is_in_the_timeline(asking: UUID) -> None:
    messages = [line.message for line in read.timeline(asking, after=0, using="default")]
    assert "EDYY was refused: latitude '95' is not on this planet" in messages


def test_the_report_holds_the_figures_and_escapes_what_the_file_says(asking: UUID) -> None:
    page = Path(answer(asking, "mark").result["report"])
    text = page.read_text(encoding="utf-8")
    assert page == report.path_of(asking)
    assert "Nowhere &lt;b&gt;" in text
    assert "<b>" not in text
    assert " style=" not in text
    assert "<script" not in text
    assert (page.parent / "report.css").is_file()


def test_progress_tells_the_wait_and_the_end(asking: UUID) -> None:
    assert read.one(asking, using="default").progress.percent == 85
    end = answer(asking, "mark")
    assert end.progress.percent == 100
    assert end.progress.label == "Done"
