"""Keeps a copy of tasks from what the live wire tells: frames of the WebSocket, server-sent events, answers to polls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

Json = dict[str, Any]


class Told(Protocol):
    """What is called after each frame that changed something."""

    def __call__(self, tracker: Tracker) -> object:
        """Hear that the tracker holds something new."""


@dataclass
class Tracked:
    """One task as it is known: its newest snapshot, its lines in ascending order, and how far they go."""

    task: Json
    steps: list[Json] = field(default_factory=list)
    position: int = 0
    snapshot_version: int = 0

    def take(self, task: Mapping[str, Any]) -> bool:
        """Take a snapshot. What it leaves out stays as it was."""
        self.task = {**self.task, **task}
        self.snapshot_version = task["version"]
        return True

    def is_newer(self, task: Mapping[str, Any]) -> bool:
        """Tell whether a snapshot is news: also that of a version whose progress came before it."""
        return bool(task["version"] >= self.task.get("version", 0) and task["version"] > self.snapshot_version)

    def misses(self, sequence: int) -> bool:
        """Tell whether lines are missing between the position and this one, other than trimmed ones."""
        return sequence > max(self.position, int(self.task.get("first_sequence", 1)) - 1) + 1


class Tracker:
    """Applies frames in the order in which they come. Duplicates are dropped, and a gap asks to subscribe again.

    ``subscription`` is the id whose frames are meant; frames of other subscriptions are passed over.
    """

    def __init__(self, subscription: str | int = "default", *, on_change: Told | None = None) -> None:
        self.subscription = subscription
        self.tracked: dict[str, Tracked] = {}
        self.aggregate: Json | None = None
        self.needs_resync = False
        self.refusal: Json | None = None
        self._on_change = on_change
        self._apply: dict[str, Callable[[Json], bool]] = {
            "bootstrap": self._bootstrap,
            "step": self._step,
            "progress": self._progress,
            "changed": self._changed,
            "aggregate": self._aggregate,
            "trimmed_before": self._trimmed,
            "error": self._error,
        }

    @property
    def tasks(self) -> list[Json]:
        """The snapshots, the newest task first: ids rise with time."""
        return [self.tracked[task_id].task for task_id in sorted(self.tracked, reverse=True)]

    @property
    def positions(self) -> dict[str, int]:
        """How far each task is known: what to say as ``after`` when subscribing again."""
        return {task_id: held.position for task_id, held in self.tracked.items()}

    def steps(self, task_id: str) -> list[Json]:
        """Return the lines that are held of a task."""
        return self.tracked[task_id].steps

    def apply(self, frame: Json) -> bool:
        """Take a frame and tell whether anything changed. An unknown type changes nothing."""
        if frame.get("type") == "batch":
            mine = {"id": frame.get("id", self.subscription)}
            changed = [self.apply(each | mine) for each in frame["frames"]]
            return any(changed)
        if frame.get("id", self.subscription) != self.subscription or frame.get("type") not in self._apply:
            return False
        is_new = self._apply[frame["type"]](frame)
        if is_new and self._on_change is not None:
            self._on_change(self)
        return is_new

    def _bootstrap(self, frame: Json) -> bool:
        before, self.tracked = self.tracked, {}
        for told in frame["runs"]:
            task = {name: value for name, value in told.items() if name != "timeline"}
            held = before.get(task["id"]) or Tracked({})
            # Whatever it says is so, even an older version: a database may have been restored.
            held.take(task)
            timeline = told.get("timeline", [])
            if not timeline:
                continues = held.position == task["last_sequence"]
            else:
                continues = not held.misses(timeline[0]["sequence"]) and timeline[0]["sequence"] > held.position > 0
            held.steps = [*held.steps, *timeline] if continues else list(timeline)
            held.position = timeline[-1]["sequence"] if timeline else task["last_sequence"]
            self.tracked[task["id"]] = held
        self.aggregate = frame.get("aggregate", self.aggregate)
        self.needs_resync = False
        return True

    def _step(self, frame: Json) -> bool:
        line = frame["step"]
        # A task that was not told yet begins with whatever comes first.
        held = self.tracked.setdefault(frame["task_id"], Tracked({"id": frame["task_id"], "version": 0}))
        if line["sequence"] <= held.position:
            return False
        if held.position and held.misses(line["sequence"]):
            self.needs_resync = True
            return False
        held.steps.append(line)
        held.position = line["sequence"]
        return True

    def _progress(self, frame: Json) -> bool:
        held = self.tracked.get(frame["task_id"])
        if held is None or frame["version"] <= held.task.get("version", 0):
            return False
        held.task = {**held.task, "version": frame["version"], "progress": frame["progress"]}
        return True

    def _changed(self, frame: Json) -> bool:
        task = frame["task"]
        held = self.tracked.setdefault(task["id"], Tracked({}, position=task["last_sequence"]))
        return held.is_newer(task) and held.take(task)

    def _aggregate(self, frame: Json) -> bool:
        self.aggregate = frame["aggregate"]
        return True

    def _trimmed(self, frame: Json) -> bool:
        held = self.tracked.get(frame["task_id"])
        if held is None or held.task.get("first_sequence", 1) >= frame["sequence"]:
            return False
        held.task = {**held.task, "first_sequence": frame["sequence"]}
        return True

    def _error(self, frame: Json) -> bool:
        self.refusal = {"code": frame["code"], "message": frame["message"]}
        return True
