"""Tasks as Django's documentation shows them."""

from __future__ import annotations

from django.tasks import task

from tests.benchmarks.peers.drivers import kit


@task
def noop(number: int) -> None:
    """Do nothing."""
    kit.TALLY.hit()


@task
def late(sent: float) -> None:
    """Tell how late it is."""
    kit.TALLY.hit_late(sent)
