"""Whatever happens to a queue, in whatever order: an attempt without its lease writes nothing, and no run is lost.

`python -m tests.fuzz queue --cases 5000` plays many more, of 60 acts each; on SQLite all of them in memory.
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from unittest import mock

import pytest
from django.db import connection
from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from django_tasks_durable.store import workers
from tests.simulator.on_sqlite import in_memory
from tests.store.queue_machine import QueueMachine

CASES, SEED = int(os.environ.get("FUZZ_CASES", "10")), int(os.environ.get("FUZZ_SEED", "0"))
STEPS = 60 if "FUZZ_CASES" in os.environ else 30


@pytest.mark.timeout(0 if "FUZZ_CASES" in os.environ else 600)
@pytest.mark.seed("TR-9")
def test_the_rows_of_a_queue_are_what_a_model_in_plain_python_says(transactional_db: None) -> None:
    # Nobody else writes here, whom a sweep on SQLite would have to give a moment.
    place = in_memory() if connection.vendor == "sqlite" else nullcontext()
    with mock.patch.object(workers, "SETTLING_SECONDS", 0.0), place:
        run_state_machine_as_test(
            seed(SEED)(QueueMachine) if SEED else QueueMachine,
            settings=settings(
                max_examples=CASES, stateful_step_count=STEPS, deadline=None,
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
            ),
        )  # fmt: skip
