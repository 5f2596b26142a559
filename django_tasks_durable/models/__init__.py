"""The tables. Only ``store``, ``snapshots`` and the admin list touch them."""

from .channel import RunChannel
from .checkpoint import Checkpoint
from .key import OpenKey
from .message import Message
from .queue import KeptKey, Queue, Slot
from .rollup import Rollup, RollupCursor
from .run import TaskRun
from .schedule import Schedule, Tick
from .step import Step
from .wait import Wait
from .worker import Worker

__all__ = [
    "Checkpoint",
    "KeptKey",
    "Message",
    "OpenKey",
    "Queue",
    "Rollup",
    "RollupCursor",
    "RunChannel",
    "Schedule",
    "Slot",
    "Step",
    "TaskRun",
    "Tick",
    "Wait",
    "Worker",
]
