"""Make a class workflow from a flow that is written as JSON, and refresh it when the flow changed."""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError

from django_tasks_durable.authoring.flow import Flow, read_flow
from django_tasks_durable.exceptions import DurableError, FlowInvalid, FlowUnreadable
from django_tasks_durable.management import scaffold
from django_tasks_durable.management.parsing import SuggestingParser
from django_tasks_durable.snapshots.text import one_line, plain


class Command(BaseCommand):
    """Make a class workflow from a JSON flow."""

    help = (
        "Make a class workflow from a JSON flow: <name>_flow.py, which is generated, and <name>.py, where you write the tasks. "
        "Run it again when the flow changed: it refreshes the first and only adds stubs to the second."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.__class__ = SuggestingParser  # Django makes the parser and gives no way to choose its class
        parser.add_argument("flow", metavar="FLOW", help="The JSON file of the flow.")
        parser.add_argument(
            "--output", metavar="DIR|APP", help="Where to write: a folder or an app's label (default: beside the flow)."
        )
        parser.add_argument(
            "--check", action="store_true", help="Write nothing; fail when the files are not what the flow says."
        )
        parser.add_argument("--force", action="store_true", help="Overwrite a generated file that was edited by hand.")
        parser.add_argument(
            "--format", action="store_true", help="Write the flow itself anew: unknown properties under _extra."
        )
        parser.add_argument("--json", action="store_true", help="Write JSON, for machines.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Read the flow, then write or check."""
        source = Path(options["flow"])
        try:
            flow = read_flow(_content(source))
            plan = scaffold.plan(flow, source, _folder(options["output"], source))
            self._refuse_edited(plan, options)
            if options["check"]:
                self._check(plan, flow, source, options)
                return
            plan.carry_out()
            if options["format"]:
                scaffold.replace(source, flow.as_text().encode())
        except (FlowInvalid, FlowUnreadable) as error:
            raise self._refusal(error, source, options) from error
        except DurableError as error:
            raise CommandError(plain(error)) from error
        except OSError as error:
            raise CommandError(plain(f"{error.filename}: {error.strerror}.")) from error
        self._tell(plan, options)

    def _refuse_edited(self, plan: scaffold.Plan, options: dict[str, Any]) -> None:
        if plan.edited is None or options["force"]:
            return
        what = f"{plain(plan.edited)} was edited by hand, or is not from this command"
        raise CommandError(f"{what}. Keep your changes elsewhere, then overwrite it with --force.")

    def _check(self, plan: scaffold.Plan, flow: Flow, source: Path, options: dict[str, Any]) -> None:
        self._tell(plan, options)
        if not plan.is_done:
            raise CommandError(f"Not what the flow says: run `manage.py startworkflow {plain(source)}`.", returncode=1)

    def _refusal(self, error: FlowInvalid | FlowUnreadable, source: Path, options: dict[str, Any]) -> CommandError:
        """Tell every problem, and return the error to end with."""
        if isinstance(error, FlowUnreadable):
            found = [{"path": "$", "message": error.problem, "line": error.line, "column": error.column}]
            lines = [f"{source}:{error.line}:{error.column}: {error.problem}"]
        else:
            found = [{"path": path, "message": message} for path, message in error.problems]
            lines = [f"{path}: {message}" for path, message in error.problems]
        if options["json"]:
            self._json({"flow": str(source), "problems": found})
        else:
            for line in lines:
                self.stderr.write(one_line(line))
        return CommandError(
            f"{plain(source)} has {len(found)} problem{'s' if len(found) > 1 else ''}; nothing was written."
        )

    def _tell(self, plan: scaffold.Plan, options: dict[str, Any]) -> None:
        if options["json"]:
            files = [
                {"path": str(change.path), "action": change.action, "stubs": list(change.stubs)}
                for change in plan.changes
            ]
            self._json({"flow": options["flow"], "files": files, "unused": list(plan.unused)})
            return
        for change in plan.changes:
            stubs = f"  stubs: {', '.join(change.stubs)}" if change.stubs else ""
            self.stdout.write(f"{change.action:<10} {one_line(_short(change.path))}{stubs}")
        if plan.changes[0].action == "created" and not options["check"]:
            self.stdout.write(f"Workers find {plan.class_name} when the tasks.py of an app imports it.")
        if plan.unused:
            self.stdout.write(f"no longer in the flow: {', '.join(plan.unused)}")

    def _json(self, value: Any) -> None:
        # ensure_ascii: nothing of a foreign text may reach the terminal as a control character.
        self.stdout.write(json.dumps(value, indent=2, ensure_ascii=True))


def _content(source: Path) -> bytes:
    try:
        return source.read_bytes()
    except OSError as error:
        raise CommandError(plain(f"{source} cannot be read: {error.strerror}.")) from error


def _folder(output: str | None, source: Path) -> Path:
    if output is None:
        return source.parent
    folder = Path(output)
    if output in apps.app_configs and not folder.exists():
        return Path(apps.get_app_config(output).path)
    if not folder.is_dir():
        labels = ", ".join(sorted(apps.app_configs))
        raise CommandError(plain(f"{output!r} is neither a folder nor the label of an installed app ({labels})."))
    return folder


def _short(path: Path) -> str:
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
