"""What fell between two runs is told from noise, and an earlier run of something else is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from django_tasks_durable.management.bench import comparing

STEADY = [0.50, 0.51, 0.49]
NOISY = [0.50, 0.70, 0.30]


def results(**samples: list[float]) -> dict[str, Any]:
    """Make what a run says of some lines."""
    return {"samples": samples}


def fallen(before: list[float], now: list[float], key: str = "claim") -> list[str]:
    """Name what fell between two runs of one line."""
    return [fall.key for fall in comparing.falls(results(**{key: before}), results(**{key: now}))]


def test_a_fifth_less_is_told_where_the_samples_are_steady() -> None:
    assert fallen(STEADY, [0.40, 0.41, 0.39]) == ["claim"]


def test_a_fifth_less_is_not_told_where_the_samples_are_noisy() -> None:
    assert fallen(NOISY, [0.40, 0.60, 0.20]) == []


def test_one_disturbed_sample_among_many_hides_nothing() -> None:
    assert fallen([*STEADY * 4, 1.2], [*([0.40, 0.41, 0.39] * 4), 0.1]) == ["claim"]


def test_what_rose_has_not_fallen() -> None:
    assert fallen([0.40, 0.41, 0.39], STEADY) == []


def test_milliseconds_that_rose_have_fallen() -> None:
    assert fallen([10.0, 10.1, 9.9], [13.0, 13.1, 12.9], key="resume.1000") == ["resume.1000"]
    assert fallen([13.0, 13.1, 12.9], [10.0, 10.1, 9.9], key="resume.1000") == []


def test_one_sample_has_to_fall_far() -> None:
    assert fallen([5.0], [6.0], key="pickup.p50") == []
    assert fallen([5.0], [7.0], key="pickup.p50") == ["pickup.p50"]


def test_what_only_one_run_has_measured_is_passed_by() -> None:
    assert comparing.falls(results(claim=STEADY), results(enqueue=[0.1])) == []


def test_the_worst_comes_first_with_its_figures() -> None:
    before, now = results(claim=STEADY, drain=STEADY), results(claim=[0.4, 0.41, 0.39], drain=[0.2, 0.21, 0.19])
    first, second = comparing.falls(before, now)

    assert str(first) == "drain: 0.5 before, 0.2 now, 60% worse (noise 10%)"
    assert second.key == "claim"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no json", "is not what benchtasks --json writes"),
        ("[]", "is not what benchtasks --json writes"),
        ('{"database": {"vendor": "sqlite"}}', "is not what benchtasks --json writes"),
        (None, "is not what benchtasks --json writes"),
        (
            json.dumps({"database": {"vendor": "sqlite"}, "machine": {"scale": 0.1}, "samples": {}}),
            "database sqlite, scale 0.1, this run with database postgresql, scale 1.0",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused_with_the_reason(tmp_path: Path, text: str | None, words: str) -> None:
    path = tmp_path / "earlier.json"
    if text is not None:
        path.write_text(text)

    with pytest.raises(comparing.NotComparable, match=words):
        comparing.read(path, vendor="postgresql", scale=1.0)
