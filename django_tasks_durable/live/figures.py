"""What the hubs of this process tell a monitoring system, beside the figures of the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from django_tasks_durable.snapshots import metrics
from django_tasks_durable.snapshots.metrics import Metric

from . import hub


def install() -> None:
    """Let the figures be told wherever figures are asked for."""
    metrics.also_from(_figures)


def _figures() -> Iterator[Metric]:
    degraded, clients = Counter[str](), Counter[tuple[str, str]]()
    # Each event loop has a hub of its own, and a figure is told once.
    for each in hub.statuses():
        degraded[each.using] += each.is_degraded
        clients[each.using, each.mode] += each.clients
    yield Metric(
        name="live_degraded",
        help="Hubs of this process that only poll, though they could be told.",
        samples=[({"database": using}, number) for using, number in degraded.items()],
    )
    yield Metric(
        name="live_clients",
        help="Clients that listen to the hubs of this process.",
        samples=[({"database": using, "mode": mode}, number) for (using, mode), number in clients.items()],
    )
