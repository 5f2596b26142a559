"""Claims that take longer are found by comparing what was measured with and without."""

from __future__ import annotations

from typing import Any

import pytest

from django_tasks_durable.management.bench import comparing, report
from django_tasks_durable.management.bench.measuring import Measuring
from django_tasks_durable.management.bench.scenes import SCENES
from django_tasks_durable.store import claims
from tests.benchmarks.regression import PARTS, longer_claims


@pytest.mark.slow
def test_claims_that_take_five_times_as_long_are_named(scratch: Any) -> None:
    plain, slowed = (Measuring(scratch, scale=0.05, say=lambda text: None) for _ in range(2))
    plain.rounds = slowed.rounds = 1
    for _ in range(8):
        for measuring, share in ((plain, 0.0), (slowed, 4.0)):
            with longer_claims(share):
                SCENES["claim"](measuring)

    (fall,) = comparing.falls(report.results_of(plain), report.results_of(slowed))

    assert fall.key == "claim"


def test_claims_are_as_they_were_afterwards() -> None:
    before = [getattr(claims, name) for name in PARTS]
    with longer_claims(0.2):
        assert [getattr(claims, name) for name in PARTS] != before
    assert [getattr(claims, name) for name in PARTS] == before
