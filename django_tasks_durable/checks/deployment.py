"""What ``check --deploy`` says: what must not go to production."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

import django
from django.conf import settings
from django.core import checks
from django.utils.http import is_same_domain

from django_tasks_durable.authoring.tasks import options_of, registered
from django_tasks_durable.executors.base import THREAD, executor_of

from .usable import usable

Messages = list[checks.CheckMessage]
# The first release of each line in which keyword arguments of filter() cannot become SQL (CVE-2025-64459).
MENDED = {(5, 2): (5, 2, 8), (6, 0): (6, 0, 0)}


def register(tag: str) -> None:
    """Register the checks of a deployment."""
    for check in (check_deployment, check_timeouts, check_open_doors, check_surroundings):
        checks.register(check, tag, deploy=True)


def check_deployment(app_configs: object = None, **kwargs: Any) -> Messages:
    """Look at what must not go to production."""
    messages: Messages = []
    if os.environ.get("DURABLE_FAULTS"):
        messages.append(
            checks.Error(
                "The environment variable DURABLE_FAULTS asks this process to fail at named points.",
                hint="It is for tests; unset it.",
                id="durable_tasks.E023",
            )
        )
    for alias, options in usable():
        if options.database != "default":
            messages.append(
                checks.Warning(
                    f"TASKS[{alias!r}] keeps its tasks in {options.database!r}: enqueue is not part of a transaction "
                    "on 'default'.",
                    hint="Keep tasks in the database of the models that they work on, "
                    "or enqueue with transaction.on_commit().",
                    id="durable_tasks.W006",
                )
            )
    return messages


def check_timeouts(app_configs: object = None, **kwargs: Any) -> Messages:
    """Look for timeouts that what carries the task cannot enforce."""
    defaults = {alias: options.executor for alias, options in usable()}
    return [
        checks.Info(
            f"The task {path} has a timeout, which a thread cannot enforce: it holds at the task's next primitive.",
            hint="Give the task executor='process' if it must end in time whatever it does.",
            id="durable_tasks.I033",
        )
        for path, task in sorted(registered().items())
        if options_of(task).timeout is not None and executor_of(task, defaults.get(task.backend, THREAD)) == THREAD
    ]


def check_open_doors(app_configs: object = None, **kwargs: Any) -> Messages:
    """Look at what REST must not be without in production."""
    messages: Messages = []
    for alias, options in usable():
        rest = options.rest
        if rest.authentication == ():
            said = (
                f"TASKS[{alias!r}]['OPTIONS']['rest'] has no authentication: REST knows nobody, and so lets nobody in."
            )
            hint = "Leave it out to use DRF's DEFAULT_AUTHENTICATION_CLASSES, or name classes."
            messages.append(checks.Warning(said, hint=hint, id="durable_tasks.W037"))
        if rest.throttles == () or (rest.throttles is None and rest.write_rate is None):
            said = f"TASKS[{alias!r}]['OPTIONS']['rest'] lets a user enqueue and act as often as they like."
            hint = "Give a write_rate such as '120/min'."
            messages.append(checks.Warning(said, hint=hint, id="durable_tasks.W038"))
        if options.enqueue_as and not options.visible_to:
            said = f"TASKS[{alias!r}] tells by 'enqueue_as' whose a task is, and without 'visible_to' everybody sees everybody's."
            hint = "Name a function of (user, queryset) in OPTIONS['visible_to'] that keeps the runs which the user may see."
            messages.append(checks.Warning(said, hint=hint, id="durable_tasks.W039"))
    return messages


def check_surroundings(app_configs: object = None, **kwargs: Any) -> Messages:
    """Look at the project around the tasks: its Django, its hosts, its addresses, what it keeps."""
    found = [*_about_django(django.VERSION[:3]), *_about_hosts()]
    for alias, options in usable():
        if options.base_url and urlsplit(options.base_url).scheme != "https":
            found.append(
                checks.Warning(
                    f"TASKS[{alias!r}]['OPTIONS']['base_url'] is not https: whoever sees a link on its way may answer by it.",
                    hint="Give the https address of the site.",
                    id="durable_tasks.W018",
                )
            )
        elif options.base_url and not _is_seen_as_https(options.base_url):
            found.append(
                checks.Info(
                    f"TASKS[{alias!r}]['OPTIONS']['base_url'] is https. If that ends at a proxy, Django takes requests for http "
                    "and refuses the answers that are posted on the page of a link.",
                    hint="Behind such a proxy set SECURE_PROXY_SSL_HEADER, or add the address to CSRF_TRUSTED_ORIGINS.",
                    id="durable_tasks.I044",
                )
            )
        if options.retention.keeps_everything:
            found.append(
                checks.Info(
                    f"TASKS[{alias!r}] keeps every ended task for ever, with its arguments and results.",
                    hint="Give OPTIONS['retention'], for instance {'successful': timedelta(days=30)}.",
                    id="durable_tasks.I019",
                )
            )
    return found


def _is_seen_as_https(base_url: str) -> bool:
    if settings.SECURE_PROXY_SSL_HEADER:
        return True
    host = urlsplit(base_url).netloc
    trusted = [urlsplit(origin).netloc for origin in settings.CSRF_TRUSTED_ORIGINS if origin.startswith("https://")]
    return any(is_same_domain(host, origin.removeprefix("*")) for origin in trusted)


def _about_django(version: tuple[int, ...]) -> Messages:
    mended = MENDED.get((version[0], version[1]))
    if mended is None or version >= mended:
        return []
    return [
        checks.Warning(
            f"Django {'.'.join(map(str, version))} has a known hole in its queries (CVE-2025-64459).",
            hint=f"Install {'.'.join(map(str, mended))} or newer.",
            id="durable_tasks.W020",
        )
    ]


def _about_hosts() -> Messages:
    if "*" not in settings.ALLOWED_HOSTS:
        return []
    return [
        checks.Warning(
            "ALLOWED_HOSTS lets every host in, so a page under any name may open the WebSocket with its visitor's cookies.",
            hint="Name the hosts of the site.",
            id="durable_tasks.W021",
        )
    ]
