"""How much a worker may claim: free slots, and a prefetch that follows how fast runs end."""

from __future__ import annotations

from django_tasks_durable.primitives import clock

PREFETCH_SECONDS = 0.1
HELD_SECONDS = 0.5
MOST_PREFETCHED = 1000
# A look past everything that is due for others costs more the more there is; it may take a tenth of the writer's time.
REST_FACTOR = 10
CHEAP_SECONDS = 0.002


class Room:
    """The slots of one executor and the runs that wait in front of it.

    Prefetch grows with the rate at which runs end, to what is done in a tenth of a second, so that slow tasks are never
    hoarded. Call everything under the writer's lock.
    """

    def __init__(self, slots: int, most_prefetched: int | None = None) -> None:
        self.slots = slots
        self.most_prefetched = MOST_PREFETCHED if most_prefetched is None else most_prefetched
        self.running = 0
        self.waiting = 0
        self.rests_until = 0.0
        self._ended = 0
        self._rate = 0.0
        self._since = clock.monotonic()

    @property
    def prefetch(self) -> int:
        """How many runs may wait in front of busy slots."""
        return min(self.most_prefetched, int(self._rate * PREFETCH_SECONDS))

    @property
    def free_slots(self) -> int:
        """How many runs could begin at once."""
        return max(0, self.slots - self.running - self.waiting)

    def appetite(self) -> int:
        """How many runs to claim now; none while more than half of the room is still taken."""
        room = self.slots + self.prefetch
        taken = self.running + self.waiting
        return room - taken if taken * 2 <= room or self.free_slots else 0

    @property
    def is_resting(self) -> bool:
        """Whether a look for runs of this kind is put off: the last one had to pass by too many others."""
        return clock.monotonic() < self.rests_until

    def found_none(self, seconds: float) -> None:
        """Note a look that passed by what is due for others and took so long."""
        if seconds > CHEAP_SECONDS:
            self.rests_until = clock.monotonic() + REST_FACTOR * seconds

    def took(self, count: int) -> None:
        """Note runs that were claimed."""
        self.waiting += count

    def began(self) -> None:
        """Note a run whose body begins."""
        self.waiting -= 1
        self.running += 1

    def gave_back(self, count: int = 1) -> None:
        """Note prefetched runs that were given back or lost."""
        self.waiting -= count

    def ended(self) -> None:
        """Note a run whose code has ended."""
        self.running -= 1
        self._ended += 1
        now = clock.monotonic()
        if now - self._since >= 0.05:
            self._rate = 0.5 * self._rate + 0.5 * self._ended / (now - self._since)
            self._ended, self._since = 0, now
