"""What the two peers that are backends of Django's own tasks share: a project in a function, and stock tasks."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import django
from django.conf import settings


def configure(app: str, backend: str) -> None:
    """Make a project of that one app on the database of the run."""
    from tests.benchmarks.peers.drivers import kit

    place = urlsplit(kit.URL)
    settings.configure(
        INSTALLED_APPS=["django.contrib.contenttypes", app],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": place.path.lstrip("/"),
                "USER": place.username or "",
                "HOST": place.hostname or "",
                "PORT": place.port or "",
            }
        },
        TASKS={"default": {"BACKEND": backend, "QUEUES": ["default"]}},
        USE_TZ=True,
        SECRET_KEY="of a benchmark",
        LOGGING_CONFIG=None,
    )
    django.setup()


def run(command: str, **options: Any) -> None:
    """Prepare, send or work, as the command line says."""
    from django.core.management import call_command

    from tests.benchmarks.peers.drivers import kit
    from tests.benchmarks.peers.drivers.django_noops import late, noop

    def work() -> None:
        kit.TALLY.start()
        call_command(command, **options)

    kit.run(
        prepare=lambda: call_command("migrate", verbosity=0),
        enqueue=lambda count: kit.rate(count, lambda: [noop.enqueue(number) for number in range(count)]),
        pickup=lambda count: kit.send_each(count, late.enqueue),
        work=work,
    )
