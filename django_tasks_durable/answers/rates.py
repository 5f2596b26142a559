"""How often links may be followed: counted in Django's default cache, so one in memory counts in each process by itself."""

from __future__ import annotations

import hashlib
import logging

from django.core.cache import cache

from django_tasks_durable.exceptions import TooOften
from django_tasks_durable.limits import Rate

logger = logging.getLogger("django_tasks_durable.answers")


def expect_room(rate: Rate | None, kind: str, whose: str) -> None:
    """Count one use. Raise TooOften when there were as many as the rate allows in a period that began with the first.

    ``whose`` is not readable in the cache. A cache that fails holds nobody up: an answer is worth more than a count.
    """
    if rate is None:
        return
    key = f"django_tasks_durable.{kind}.{hashlib.sha256(whose.encode()).hexdigest()[:32]}"
    try:
        uses = 1 if cache.add(key, 1, timeout=rate.seconds) else cache.incr(key)
    except ValueError:  # it has run out between the two
        return
    except Exception as error:
        logger.warning("The uses of links cannot be counted: %r", error)
        return
    if uses > rate.count:
        raise TooOften(rate.seconds)
