"""Spans of time that are counted, and histograms of durations in steps of the square root of two."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import models
from django.utils.translation import pgettext_lazy

# The bucket 0 begins here, and holds all that is shorter, too.
SHORTEST_SECONDS = 0.001
PER_DOUBLING = 2


class Grain(models.IntegerChoices):
    """How many seconds one count is about."""

    MINUTE = 60, pgettext_lazy("Grain", "Minute")
    HOUR = 3600, pgettext_lazy("Grain", "Hour")


def begin_of(bucket: int) -> float:
    """Return where a bucket begins, in seconds."""
    return float(SHORTEST_SECONDS * 2 ** (bucket / PER_DOUBLING))


def quantile(histogram: Mapping[int, int], share: float) -> float | None:
    """Estimate the duration, in seconds, that this share of all was no longer than; None if there are none.

    It is within a bucket of the true one, so at most some forty per cent off and mostly less than ten.
    """
    total = sum(histogram.values())
    if not total:
        return None
    left = share * total
    bucket = 0
    for bucket in sorted(histogram):
        if left <= histogram[bucket]:
            break
        left -= histogram[bucket]
    inside = min(1.0, max(0.0, left / histogram[bucket]))
    return float(begin_of(bucket) * 2 ** (inside / PER_DOUBLING))


def add_up(total: dict[int, int], more: Mapping[int, int]) -> None:
    """Add a histogram to a total."""
    for bucket, number in more.items():
        total[bucket] = total.get(bucket, 0) + number
