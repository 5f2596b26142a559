"""The names of the tables, for the statements that the store writes itself."""

from __future__ import annotations

RUNS = "durable_tasks_taskrun"
STEPS = "durable_tasks_step"
CHECKPOINTS = "durable_tasks_checkpoint"
MESSAGES = "durable_tasks_message"
WAITS = "durable_tasks_wait"
KEYS = "durable_tasks_openkey"
WORKERS = "durable_tasks_worker"
SCHEDULES = "durable_tasks_schedule"
TICKS = "durable_tasks_tick"
