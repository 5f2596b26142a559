"""Whether benchtasks finds a regression: claims that take a fifth longer, in turns with claims as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from statistics import median
from typing import Any

import pytest
from django.db import connection

from django_tasks_durable.management.bench import comparing, report
from django_tasks_durable.management.bench.drivers import limits_of
from django_tasks_durable.management.bench.measuring import Measuring
from django_tasks_durable.management.bench.scenes import SCENES
from django_tasks_durable.primitives import clock
from django_tasks_durable.store import claims
from tests.benchmarks import scratch

PARTS = ("ready_heads", "look", "claim")
SECONDS = 0.15


def measure(*, rounds: int, slower: float, scale: float) -> int:
    """Take the scene of claims as they are and slowed down, in turns. Return 1 when the slower one is not found."""
    with scratch.database(), closing(limits_of("default", seconds=SECONDS)) as yardsticks:
        plain, slowed = (Measuring(yardsticks, scale=scale, say=lambda text: None) for _ in range(2))
        plain.rounds = slowed.rounds = 1
        for number in range(rounds):
            # Not always the same one first: what else the machine does may come and go in step.
            turns = [(plain, 0.0), (slowed, slower)]
            for measuring, share in turns if number % 2 else turns[::-1]:
                with longer_claims(share):
                    SCENES["claim"](measuring)
        return _tell(plain, slowed, slower)


@contextmanager
def longer_claims(share: float) -> Iterator[None]:
    """Let every part of a claim take longer by a share of what it takes."""

    def longer(part: Callable[..., Any]) -> Callable[..., Any]:
        def slowed(*arguments: Any, **named: Any) -> Any:
            begun = clock.monotonic()
            found = part(*arguments, **named)
            until = clock.monotonic() + share * (clock.monotonic() - begun)
            while clock.monotonic() < until:
                pass
            return found

        return slowed

    with pytest.MonkeyPatch.context() as patch:
        for name in PARTS:
            patch.setattr(claims, name, longer(getattr(claims, name)))
        yield


def _tell(plain: Measuring, slowed: Measuring, slower: float) -> int:
    before, now = report.results_of(plain), report.results_of(slowed)
    print(f"{connection.vendor}, claims as a share of the limit, {len(plain.ratios['claim'])} rounds of each in turns:")
    for name, measuring in (("as they are", plain), (f"{slower:.0%} longer", slowed)):
        ratios = sorted(measuring.ratios["claim"])
        told = f"{median(ratios):.3f} at the median, {ratios[0]:.3f} to {ratios[-1]:.3f}"
        print(f"{name:14}{told}; {measuring.figure('claim'):,.0f} claims/s")
    found = [fall for fall in comparing.falls(before, now) if fall.key == "claim"]
    noise = comparing.noise_of(plain.ratios["claim"], slowed.ratios["claim"])
    print(f"Found: {found[0]}" if found else f"Not found: noise explains {noise:.0%}.")
    return int(not found)
