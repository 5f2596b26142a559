"""The Django app."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from django.apps import AppConfig
from django.conf import settings
from django.utils.module_loading import autodiscover_modules, module_has_submodule
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from .authoring.driver import Driver


class DurableTasksConfig(AppConfig):
    """Make tasks, checks and receivers known; touch no database."""

    name = "django_tasks_durable"
    label = "durable_tasks"
    verbose_name = _("Durable tasks")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect the floors of the house: what stands above registers with what stands below."""
        # Imported here, because these import models.
        from . import checks, compat
        from .authoring import driver
        from .backend import news, results
        from .engine import context
        from .live import lifecycle, notify

        # On Django 5.2 these come with the backport's own app, which need not be installed.
        compat.signals()
        compat.register_checks()
        checks.register()
        driver.install(in_process)
        context.register_result_factory(lambda claimed, task: results.of_claimed(claimed))
        news.listen()
        notify.listen()
        lifecycle.listen()
        autodiscover_modules("tasks")
        import_project_tasks()
        register_plain_tasks()


def in_process() -> Driver:
    """Return what runs tasks without a worker, with the stores that it knows; imported for whoever asks for it first."""
    from .engine import driving
    from .store import database, seats, workflows

    driving.register_database(workflows)
    seats.offer(seats.DATABASE, database.DatabaseStore)
    return driving.in_process()


def project_package() -> str:
    """Return the package of the project itself, which holds its URLs and need not be an installed app."""
    return str(getattr(settings, "ROOT_URLCONF", "")).rpartition(".")[0]


def import_project_tasks() -> None:
    """Import the ``tasks`` module beside the project's settings, where a small project keeps its tasks."""
    package = project_package()
    if package and module_has_submodule(import_module(package), "tasks"):
        import_module(f"{package}.tasks")


def register_plain_tasks() -> None:
    """Register the tasks of all ``tasks`` modules, also those that Django's own decorator made for another backend."""
    from .authoring.tasks import register
    from .compat import Task

    for module in _tasks_modules():
        for value in list(vars(module).values()):
            if isinstance(value, Task):
                register(value)


def _tasks_modules() -> list[ModuleType]:
    from django.apps import apps

    names = [f"{name}.tasks" for name in [*(config.name for config in apps.get_app_configs()), project_package()]]
    found = [
        module
        for name, module in list(sys.modules.items())
        if any(name == wanted or name.startswith(f"{wanted}.") for wanted in names)
    ]
    return [module for module in found if module is not None]
