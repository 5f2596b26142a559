"""django-absurd: its worker in batches of 100, with 50 ms between two looks (its default is a quarter of a second)."""

from __future__ import annotations

from tests.benchmarks.peers.drivers import of_django


def main() -> None:
    """Do what the command line says."""
    of_django.configure("django_absurd", "django_absurd.backends.AbsurdBackend")
    of_django.run("absurd_worker", batch_size=100, poll_interval=0.05)
