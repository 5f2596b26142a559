"""The tables. Only ``store``, ``snapshots`` and the admin list touch them."""

from .checkpoint import Checkpoint
from .key import OpenKey
from .message import Message
from .run import TaskRun
from .schedule import Schedule, Tick
from .step import Step
from .wait import Wait
from .worker import Worker

__all__ = ["Checkpoint", "Message", "OpenKey", "Schedule", "Step", "TaskRun", "Tick", "Wait", "Worker"]
