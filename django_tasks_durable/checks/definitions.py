"""What is said about the tasks and workflows that the code defines."""

from __future__ import annotations

from typing import Any

from django.core import checks

from django_tasks_durable.authoring import habits
from django_tasks_durable.authoring.tasks import registered
from django_tasks_durable.authoring.workflow_tasks import workflow_of


def check_tasks(app_configs: object = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """Look for tasks that no worker will find."""
    return [
        checks.Warning(
            f"The task {path} is defined in the program that was started, where no worker finds it.",
            hint="Move it to the tasks.py of an app.",
            id="durable_tasks.W007",
        )
        for path in sorted(registered())
        if path.startswith("__main__.")
    ]


def check_contexts(app_configs: object = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """Look for tasks that seem to expect a context under another name than Django's."""
    return [
        checks.Warning(
            f"The first argument of {path} is named {name!r}, so its caller has to give it: no context comes there.",
            hint="Name it 'context' to be given one.",
            id="durable_tasks.W008",
        )
        for path, task in sorted(registered().items())
        if (name := habits.unmet_context(task)) and workflow_of(task) is None
    ]


def check_workflows(app_configs: object = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """Look at workflow classes. What keeps one from running at all was raised when its class was made."""
    return [
        checks.Warning(
            f"The workflow {path} never comes to {', '.join(map(repr, workflow.plan.unreachable))}.",
            hint="Name the step in the to= of another one, or remove it once no run stands there.",
            id="durable_tasks.W028",
        )
        for path, task in sorted(registered().items())
        if (workflow := workflow_of(task)) is not None and workflow.plan.unreachable
    ]
