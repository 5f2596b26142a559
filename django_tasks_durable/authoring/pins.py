"""Tasks whose runs stay with workers that have their version of the code."""

from __future__ import annotations

from dataclasses import dataclass

from .options import TaskOptions
from .registry import migrations_of, registered
from .tasks import options_of


@dataclass(frozen=True, slots=True)
class Pin:
    """What a worker may take of a pinned task: runs of ``version``, the code's, and those that migrations lead there."""

    version: int
    led_from: tuple[int, ...] = ()

    @classmethod
    def of(cls, path: str, options: TaskOptions) -> Pin:
        """Make the pin of a task."""
        migrations, first = migrations_of(path), options.version
        while first - 1 in migrations:
            first -= 1
        return cls(options.version, tuple(range(first, options.version)))

    @property
    def versions(self) -> tuple[int, ...]:
        """The versions that a run may have that was begun."""
        return (*self.led_from, self.version)

    def takes(self, version: int, *, is_begun: bool) -> bool:
        """Tell whether a run of some version may be taken. One that nothing was done of yet needs no migration."""
        return version in self.versions or (version < self.version and not is_begun)


def pins() -> dict[str, Pin]:
    """Return the pins of this process's tasks by path."""
    tasks = {path: options_of(task) for path, task in registered().items()}
    return {path: Pin.of(path, options) for path, options in tasks.items() if options.pin_version}
