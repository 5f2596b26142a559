"""The tables. Only ``store``, ``snapshots`` and the admin list touch them."""

from .checkpoint import Checkpoint
from .message import Message
from .run import TaskRun
from .step import Step
from .wait import Wait
from .worker import Worker

__all__ = ["Checkpoint", "Message", "Step", "TaskRun", "Wait", "Worker"]
