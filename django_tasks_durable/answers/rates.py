"""How often links may be followed: counted in Django's default cache, so one in memory counts in each process by itself."""

from __future__ import annotations

import hashlib
import logging
import math
import zlib

from django.core.cache import cache

from django_tasks_durable.exceptions import TooOften
from django_tasks_durable.limits import Rate
from django_tasks_durable.primitives import clock

logger = logging.getLogger("django_tasks_durable.answers")
# What wrong links may take of the cache. Who shares a place with somebody that guesses gets 429 for 404.
PLACES = 256


def expect_room(rate: Rate | None, kind: str, whose: str) -> None:
    """Count one use. Raise TooOften when there were as many in this period as the rate allows.

    Periods are counted from the hour of this host's clock, and are a part of the key: not every cache keeps the time that a key
    was given when it counts it up. ``whose`` is not readable in the cache. A cache that fails holds nobody up: an answer is worth
    more than a count.
    """
    if rate is None:
        return
    now = clock.host_now().timestamp()
    period = int(now // rate.seconds)
    key = f"django_tasks_durable.{kind}.{period}.{hashlib.sha256(whose.encode()).hexdigest()[:32]}"
    try:
        uses = 1 if cache.add(key, 1, timeout=rate.seconds) else cache.incr(key)
    except ValueError:  # it has run out between the two
        return
    except Exception as error:
        logger.warning("The uses of links cannot be counted: %r", error)
        return
    if uses <= rate.count:
        return
    if uses == rate.count + 1:
        logger.warning(
            "A %s was used more than %s times in %s s and is refused for now", kind, rate.count, rate.seconds
        )
    raise TooOften(max(1, math.ceil((period + 1) * rate.seconds - now)))


def place_of(caller: str) -> str:
    """Return the place that a caller is counted in: there are so many, however many addresses somebody has."""
    return str(zlib.crc32(caller.encode()) % PLACES)
