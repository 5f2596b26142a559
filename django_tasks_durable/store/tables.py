"""The names of the tables, for the statements that the store writes itself."""

from __future__ import annotations

RUNS = "durable_tasks_taskrun"
STEPS = "durable_tasks_step"
CHECKPOINTS = "durable_tasks_checkpoint"
MESSAGES = "durable_tasks_message"
WAITS = "durable_tasks_wait"
CHANNELS = "durable_tasks_runchannel"
KEYS = "durable_tasks_openkey"
WORKERS = "durable_tasks_worker"
SCHEDULES = "durable_tasks_schedule"
TICKS = "durable_tasks_tick"
QUEUES = "durable_tasks_queue"
ROLLUPS = "durable_tasks_rollup"
ROLLUP_CURSOR = "durable_tasks_rollupcursor"
SLOTS = "durable_tasks_slot"
KEPT_KEYS = "durable_tasks_keptkey"
