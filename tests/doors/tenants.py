"""Two tenants in one database: each has a queue of its own."""

from __future__ import annotations

from typing import Any

from django.test import override_settings

from django_tasks_durable.models import TaskRun
from django_tasks_durable.testing import drain

from . import rows, tasks

SECRET = "of-{}-only"


def of_their_own(user: Any, queryset: Any) -> Any:
    """Keep the runs of a user's tenant; superusers see all."""
    return queryset if user.is_superuser else queryset.filter(queue_name=queue_of(user.get_username()))


def into_their_queue(user: Any, task: Any) -> Any:
    """Let what a user enqueues be their tenant's."""
    return task.using(queue_name=queue_of(user.get_username()))


def queue_of(tenant: str) -> str:
    """Return the name of a tenant's queue."""
    return f"tenant-{tenant.partition('-')[0]}"


def two_tenants(**rest: Any) -> Any:
    """Return the settings of a project with tenants."""
    hooks = {"visible_to": f"{__name__}.of_their_own", "enqueue_as": f"{__name__}.into_their_queue"}
    options = {**hooks, "rest": {"write_rate": None, **rest}}
    return override_settings(
        TASKS={"default": {"BACKEND": "django_tasks_durable.DurableBackend", "QUEUES": [], "OPTIONS": options}}
    )


def furnished(tenant: str) -> dict[str, TaskRun]:
    """Make runs of a tenant in every state that acts differ in, each with a secret of the tenant's."""
    told = {"queue_name": queue_of(tenant), "metadata": f'{{"note": "{SECRET.format(tenant)}"}}'}
    tab = tasks.Tab.using(queue_name=told["queue_name"]).enqueue({"owed": 5})
    drain()
    return {
        "queued": rows.a_run(**told),
        "running": rows.a_running_run(**told),
        "failed": rows.a_failed_run(**told),
        "waiting": rows.a_waiting_run(f"token-{tenant}", request=SECRET.format(tenant), **told),
        "tab": TaskRun.objects.get(pk=tab.id),
    }
