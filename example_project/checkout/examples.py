"""Persistence: a checkout is stopped between two steps, kept in a file, and finished by somebody else."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from django_tasks_durable import MemoryStore, export_snapshot, pending_snapshots, restore
from example_project.checkout import tasks
from example_project.examples import Example, Stage
from example_project.file_snapshots import FileSnapshots


def persistence(stage: Stage) -> Mapping[str, Any]:
    """Stop after the second step, save, load into another store, and finish without charging twice."""
    tasks.JOURNAL.clear()
    shelf = FileSnapshots(stage.directory / "checkouts")
    store = MemoryStore()
    stream = tasks.checkout.stream("order-7", 4200, run_id="order-7", store=store)
    for item in islice(stream, 2):
        stage.say(f"  {item.partial}")
    stream.close()
    shelf.save("order-7", export_snapshot("order-7", store=store))
    stage.say("  stopped here, and kept in a file")
    stage.expect("snapshots that wait to be finished", [kept.name for kept in pending_snapshots(shelf)], ["order-7"])

    elsewhere = MemoryStore()
    restore(shelf.load("order-7")).into_memory(elsewhere, name="order-7")
    rest = tasks.checkout.stream("order-7", 4200, run_id="order-7", store=elsewhere)
    for item in rest:
        stage.say(f"  {item.partial}")
    result = rest.result()
    shelf.save("order-7", export_snapshot("order-7", store=elsewhere))
    stage.expect("what was done, each once", tasks.JOURNAL, ["reserve", "charge", "ship"])
    stage.expect("the result", result, {"payment": "payment-order-7", "parcel": "parcel with goods of order-7"})
    stage.expect("snapshots that wait to be finished", pending_snapshots(shelf), [])
    return {"done": tasks.JOURNAL, "result": result}


EXAMPLES = [Example("persistence", "a checkout is stopped, saved, loaded and finished", persistence)]
