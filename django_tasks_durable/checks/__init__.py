"""What ``manage.py check`` says about tasks: the app's own look at its databases, its tasks and its surroundings.

What one entry of TASKS says about itself is told by ``DurableBackend.check()``, which Django calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, router
from django.utils.module_loading import import_string

from django_tasks_durable.authoring import middleware
from django_tasks_durable.authoring.declarations import declarations, misfit
from django_tasks_durable.authoring.tasks import registered
from django_tasks_durable.conf import InvalidOptions, durable_aliases, nearest
from django_tasks_durable.engine.attempt import is_async
from django_tasks_durable.exceptions import ExecutorUnfit
from django_tasks_durable.executors.base import factory_of, unfit_for
from django_tasks_durable.primitives import sealing
from django_tasks_durable.store import ticks
from django_tasks_durable.store.vendors import fitness

from . import beginning, definitions, deployment
from .usable import reachable, usable

TAG = "durable_tasks"
Messages = list[checks.CheckMessage]


def register() -> None:
    """Register the checks."""
    checks.register(beginning.check_named, TAG)
    checks.register(beginning.check_migrated, checks.Tags.database)
    checks.register(check_databases, TAG)
    checks.register(definitions.check_tasks, TAG)
    checks.register(definitions.check_contexts, TAG)
    checks.register(definitions.check_workflows, TAG)
    checks.register(check_executors, TAG)
    checks.register(check_schedules, TAG)
    checks.register(check_middleware, TAG)
    checks.register(check_payload_codec, TAG)
    checks.register(check_doors, TAG)
    checks.register(check_time_zone, TAG)
    checks.register(check_live, TAG)
    checks.register(check_answers, checks.Tags.database)
    checks.register(check_servers, checks.Tags.database)
    checks.register(check_schedule_rows, checks.Tags.database)
    deployment.register(TAG)


def check_databases(app_configs: object = None, **kwargs: Any) -> Messages:
    """Look at the settings of the databases that hold tasks."""
    messages: Messages = []
    for alias, options in usable():
        messages += _routing(alias, options.database)
        for finding in fitness.by_settings(connections[options.database], threads=options.concurrency):
            messages.append(_told(alias, options.database, finding))
    return messages


def check_answers(app_configs: object = None, databases: Sequence[str] | None = None, **kwargs: Any) -> Messages:
    """Look for databases that do not answer; runs only with ``check --database`` and ``migrate``."""
    asked = [(alias, options.database) for alias, options in usable() if options.database in (databases or ())]
    return [
        checks.Error(
            f"The database {using!r} of TASKS[{alias!r}] does not answer: {error}",
            hint="Start its server, or mend its entry of DATABASES.",
            id="durable_tasks.E045",
        )
        for alias, using in asked
        if (error := fitness.unanswered(using)) is not None
    ]


def check_servers(app_configs: object = None, databases: Sequence[str] | None = None, **kwargs: Any) -> Messages:
    """Ask the databases that hold tasks; runs only with ``check --database`` and ``migrate``."""
    return [
        _told(alias, options.database, finding)
        for alias, options in reachable(databases)
        for finding in fitness.by_asking(
            connections[options.database],
            listens=options.listen and options.listen_database is None,
            lease_seconds=options.lease_seconds,
            payload_bytes=options.max_payload_bytes,
        )
    ]


def check_executors(app_configs: object = None, **kwargs: Any) -> Messages:
    """Look at what carries the tasks: whether there is such a thing, and whether it can do what they ask of it."""
    messages: Messages = []
    for alias, options in usable():
        try:
            factory_of(options.executor)
        except ExecutorUnfit as error:
            messages.append(checks.Error(f"TASKS[{alias!r}]['OPTIONS']: {error}", id="durable_tasks.E031"))
    for path, task in sorted(registered().items()):
        try:
            problem = unfit_for(task)
        except ExecutorUnfit as error:
            problem = str(error)
        if problem:
            messages.append(
                checks.Error(
                    f"The task {path} names an executor that cannot carry it: {problem}.",
                    hint="Give @task another executor=, or none.",
                    id="durable_tasks.E032",
                )
            )
    return messages


def check_schedules(app_configs: object = None, **kwargs: Any) -> Messages:
    """Look at the schedules of the code: whether their runs could be enqueued, and which of two of one name is kept."""
    messages: Messages = []
    known: set[str] = set()
    for each in declarations():
        if each.name in known:
            messages.append(
                checks.Error(
                    f"Two schedules have the name {each.name!r}.",
                    hint="Give one of them another name=: it is the key of the ledger of ticks.",
                    id="durable_tasks.E024",
                )
            )
        known.add(each.name)
        if each.task.backend not in durable_aliases():
            messages.append(
                checks.Error(
                    f"The schedule {each.name!r} is never kept: TASKS[{each.task.backend!r}] is no DurableBackend.",
                    hint="Give the task the backend= of one.",
                    id="durable_tasks.E025",
                )
            )
        if problem := misfit(each.task, each.schedule.args, each.schedule.kwargs):
            messages.append(
                checks.Error(
                    f"The schedule {each.name!r} calls its task wrongly: {problem}.",
                    hint="Give cron() or every() the args= and kwargs= that the task takes.",
                    id="durable_tasks.E026",
                )
            )
    return messages


def check_middleware(app_configs: object = None, **kwargs: Any) -> Messages:
    """Look at the middleware of each alias: whether they can be imported, and stand around the tasks that there are."""
    messages: Messages = []
    for alias, options in usable():
        has_async = any(task.backend == alias and is_async(task) for task in registered().values())
        for path in options.middleware:
            problem = middleware.unusable(path, is_async=False)
            if problem is None and has_async:
                problem = middleware.unusable(path, is_async=True)
            if problem is not None:
                said = f"TASKS[{alias!r}]['OPTIONS']: {problem.message}"
                messages.append(checks.Error(said, hint=problem.hint, id="durable_tasks.E030"))
    return messages


def check_doors(app_configs: object = None, **kwargs: Any) -> Messages:
    """Look at what the options of the doors name: functions and classes to import, and tasks to expose."""
    messages: Messages = []
    for alias, options in usable():
        rest = options.rest
        classes = [*(rest.authentication or ()), *(rest.permissions or ()), *(rest.throttles or ())]
        for path in [*filter(None, (options.visible_to, options.redact, options.enqueue_as)), *classes]:
            if problem := _unusable(path):
                said = f"TASKS[{alias!r}]['OPTIONS'] names {path!r}, which {problem}."
                hint = "Give the dotted path of something that can be called."
                messages.append(checks.Error(said, hint=hint, id="durable_tasks.E035"))
        for pattern in options.expose:
            if not any(fnmatchcase(path, pattern) for path in registered()):
                said = f"TASKS[{alias!r}]['OPTIONS']['expose'] has {pattern!r}, which is the path of no task."
                hint = f"{nearest(pattern, sorted(registered()))} Or is its module no tasks.py of an app?"
                messages.append(checks.Warning(said, hint=hint, id="durable_tasks.W036"))
    return messages


def _unusable(path: str) -> str:
    try:
        return "" if callable(import_string(path)) else "cannot be called"
    except Exception as error:
        return f"cannot be imported: {type(error).__name__}: {error}"


def check_schedule_rows(app_configs: object = None, databases: Sequence[str] | None = None, **kwargs: Any) -> Messages:
    """Look for schedules in the database that cannot be kept; runs only with ``check --database`` and ``migrate``."""
    found = {using: ticks.unkept(using) for using in sorted({options.database for _, options in reachable(databases)})}
    return [
        checks.Warning(
            f"The schedule {name!r} in the database {using!r} does not tick: {problem}",
            hint="Mend it in the admin, or pause it.",
            id="durable_tasks.W027",
        )
        for using, problems in found.items()
        for name, problem in problems.items()
    ]


def check_payload_codec(app_configs: object = None, **kwargs: Any) -> Messages:
    """Look at what seals the stored values."""
    hint = "Make keys with Fernet.generate_key(), install django-tasks-durable[encryption], and see the guide's page Encryption."
    try:
        codec = sealing.codec_in_use()
    except InvalidOptions:
        return []  # Told by the backend.
    except ImproperlyConfigured as error:
        return [checks.Error(str(error), hint=hint, id="durable_tasks.E051")]
    if codec is None and any(options.payload_keys for _, options in usable()):
        said = "OPTIONS['payload_keys'] is given and nothing uses it: OPTIONS['payload_codec'] is empty."
        return [checks.Error(said, hint=hint, id="durable_tasks.E051")]
    return []


def check_time_zone(app_configs: object = None, **kwargs: Any) -> Messages:
    """Look at USE_TZ."""
    if settings.USE_TZ or not durable_aliases():
        return []
    return [
        checks.Warning(
            "USE_TZ is False, so a run_after without a time zone means another instant on another host.",
            hint="Set USE_TZ = True.",
            id="durable_tasks.W014",
        )
    ]


def check_live(app_configs: object = None, **kwargs: Any) -> Messages:
    """Look at the channel layer by which hints are sent."""
    layers = getattr(settings, "CHANNEL_LAYERS", None) or {}
    messages: Messages = []
    for alias, options in usable():
        name = options.channel_layer
        if name is None or (name == "default" and not layers):
            continue
        if name not in layers:
            messages.append(
                checks.Error(
                    f"TASKS[{alias!r}]['OPTIONS']['channel_layer'] is {name!r}, which CHANNEL_LAYERS does not have.",
                    hint="Name one of its aliases, or None to send no hints by a layer: none is needed.",
                    id="durable_tasks.E034",
                )
            )
        elif problem := _unusable(str(layers[name].get("BACKEND", ""))):
            messages.append(
                checks.Error(
                    f"CHANNEL_LAYERS[{name!r}] names {layers[name].get('BACKEND')!r}, which {problem}.",
                    hint="For Redis: pip install 'django-tasks-durable[redis]' and 'channels_redis.core.RedisChannelLayer'.",
                    id="durable_tasks.E034",
                )
            )
        elif str(layers[name]["BACKEND"]).endswith("InMemoryChannelLayer"):
            messages.append(
                checks.Info(
                    f"CHANNEL_LAYERS[{name!r}] ends with its process, so no hints of tasks are sent by it.",
                    hint="Nothing is wrong: changes are told live all the same. Set channel_layer to None to be rid of this.",
                    id="durable_tasks.I040",
                )
            )
    return messages


def _routing(alias: str, database: str) -> Messages:
    if router.allow_migrate(database, TAG):
        return []
    return [
        checks.Error(
            f"TASKS[{alias!r}] keeps its tasks in {database!r}, "
            "where a database router does not let their tables be made.",
            hint="Let allow_migrate() return True for the app 'durable_tasks' there, or change OPTIONS['database'].",
            id="durable_tasks.E007",
        )
    ]


def _told(alias: str, database: str, finding: fitness.Finding) -> checks.CheckMessage:
    kind = checks.Error if finding.is_error else checks.Warning
    return kind(
        f"The database {database!r} of TASKS[{alias!r}]: {finding.message}",
        hint=finding.hint,
        id=f"durable_tasks.{finding.id}",
    )
