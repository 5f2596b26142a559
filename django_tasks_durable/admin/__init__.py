"""What Django's admin shows and lets people do. No rules here: it parses, calls the store or a reader, and renders."""

from .queues import QueueAdmin
from .runs import TaskRunAdmin
from .schedules import ScheduleAdmin
from .workers import WorkerAdmin

__all__ = ["QueueAdmin", "ScheduleAdmin", "TaskRunAdmin", "WorkerAdmin"]
