"""The seed checklist counts a row only when a passing test shows it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.seeds import __main__ as seeds
from tests.seeds import checklist

PAGE = """\
| TT-1 | `task(name, fn)` | Something. | = |
| TT-2 | Call \\| stream | Something. | = |

Test behaviours to port: first thing; second (a; b) thing; third.

| TW-1 | Class | Something. | = |

Test behaviours to port: one (x, y), two.
"""


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two rows, one of them claimed; a report of what their tests did."""
    (tmp_path / "rows.txt").write_text("TT-1\tfirst\nTT-2\tsecond\n")
    (tmp_path / "claimed.txt").write_text("# a comment\nTT-1  # its reason\n")
    monkeypatch.setattr(checklist, "HERE", tmp_path)
    return tmp_path / "report.json"


def outcome(report: Path, *arguments: str, **rows: dict[str, int]) -> int:
    report.write_text(
        json.dumps(
            {row.replace("_", "-"): {"passed": 0, "failed": 0, "skipped": 0} | counts for row, counts in rows.items()}
        )
    )
    return seeds.main(["--from", str(report), *arguments])


def test_the_page_is_read_with_its_behaviours_to_port() -> None:
    assert checklist.read_page(PAGE) == {
        "TT-1": "`task(name, fn)`",
        "TT-2": "Call \\| stream",
        "TT-P1": "first thing",
        "TT-P2": "second (a; b) thing",
        "TT-P3": "third",
        "TW-1": "Class",
        "TW-P1": "one (x, y)",
        "TW-P2": "two",
    }


def test_every_claimed_row_is_on_the_list() -> None:
    assert checklist.claimed() <= set(checklist.rows())


def test_all_rows_shown_is_green(report: Path) -> None:
    assert outcome(report, TT_1={"passed": 1}, TT_2={"passed": 2, "skipped": 1}) == 0


def test_a_row_that_no_test_names_is_open(report: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(report, TT_1={"passed": 1}) == 1
    assert "TT-2    second" in capsys.readouterr().out


@pytest.mark.parametrize("counts", [{"skipped": 3}, {"passed": 2, "failed": 1}])
def test_a_row_whose_tests_were_left_out_or_failed_is_open(report: Path, counts: dict[str, int]) -> None:
    assert outcome(report, TT_1={"passed": 1}, TT_2=counts) == 1


def test_only_claimed_rows_count_when_asked_so(report: Path) -> None:
    assert outcome(report, "--claimed", TT_1={"passed": 1}) == 0
    assert outcome(report, "--claimed", TT_2={"passed": 1}) == 1


def test_a_test_that_names_no_row_of_the_list_is_a_failure(report: Path) -> None:
    assert outcome(report, "--claimed", TT_1={"passed": 1}, TT_99={"passed": 1}) == 1


def test_a_page_with_another_list_is_a_failure(report: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("| TT-1 | first | . | = |\n| TT-3 | third | . | = |\n")
    report.write_text(json.dumps({row: {"passed": 1, "failed": 0, "skipped": 0} for row in ("TT-1", "TT-2")}))
    assert seeds.main(["--from", str(report), "--compare", str(page)]) == 1
