"""What any worker does for the schedules: look when the next one ticks, and decide what is due."""

from __future__ import annotations

import logging

from django_tasks_durable.store import schedules, ticks, user_transactions, vendors

logger = logging.getLogger("django_tasks_durable.worker")
FIRED_PER_TURN = 50


class Scheduler:
    """Keeps the schedules of one database, beside as many others as there are workers: nobody is elected."""

    def __init__(self, using: str, *, is_on: bool) -> None:
        self.using = using
        self.is_on = is_on
        self._known: ticks.Known | None = None

    def turn(self, session: vendors.Session) -> float | None:
        """Decide what is due, a bounded number of ticks, and return the seconds until there is more; None for no hurry.

        The session only looks; what is due is decided on this thread's Django connection, which is opened for it.
        """
        if not self.is_on:
            return None
        if self._known is None:
            self._keep_in_step()
            self._known = ticks.known_here(self.using)
        due, wait = ticks.look(session, self._known)
        fired = 0
        for schedule_id in due:
            fired += self._fire(schedule_id, FIRED_PER_TURN - fired)
        # When none was to be had, others are at them.
        return 0.0 if fired else wait

    def _keep_in_step(self) -> None:
        try:
            schedules.sync(using=self.using)
        finally:
            user_transactions.leave_thread()

    def _fire(self, schedule_id: int, limit: int) -> int:
        fired = 0
        try:
            while fired < limit and ticks.fire(schedule_id, using=self.using):
                fired += 1
        except Exception as error:
            logger.warning(
                "Schedules could not be looked at (%s); they are at the next turn, and no tick is lost", error
            )
            user_transactions.leave_thread()
        return fired
