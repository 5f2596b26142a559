"""The modules as they are served: under hashed names, they still find each other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles.storage import ManifestStaticFilesStorage, staticfiles_storage
from django.core.management import call_command
from django.template import Context, Template

IMPORT = re.compile(r"""^import (?:[^"']* from )?["'](?P<path>[^"']+)["'];$""", re.MULTILINE)
ID = "01990000-0000-7000-8000-00000000000a"


class HashedNamesOnly(ManifestStaticFilesStorage):
    """Hashes the names inside modules, too."""

    support_js_module_import_aggregation = True


@pytest.fixture(params=["ManifestStaticFilesStorage", "HashedNamesOnly"])
def served(request: pytest.FixtureRequest, settings: Any, tmp_path: Path) -> Iterator[Path]:
    """Collect the static files as a deployment does."""
    places = {
        "ManifestStaticFilesStorage": "django.contrib.staticfiles.storage",
        "HashedNamesOnly": __name__,
    }
    settings.STATIC_ROOT = tmp_path
    settings.DEBUG = False
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": f"{places[request.param]}.{request.param}"},
    }
    staticfiles_storage._setup()  # type: ignore[attr-defined]
    call_command("collectstatic", interactive=False, verbosity=0)
    yield tmp_path
    staticfiles_storage._wrapped = None  # type: ignore[attr-defined]


def test_every_module_finds_what_it_imports(served: Path) -> None:
    modules = [*(served / "django_tasks_durable").glob("*.js"), *(served / "airports").glob("*.js")]
    found = {(module, match["path"]) for module in modules for match in IMPORT.finditer(module.read_text())}
    assert len(found) > 10
    assert [(module.name, path) for module, path in found if not (module.parent / path).is_file()] == []


def test_the_tag_names_the_hashed_module(served: Path) -> None:
    html = Template("{% load tasks_durable %}{% task_progress id %}").render(Context({"id": ID}))
    source = re.search(r'src="/static/([^"]+)"', html)
    assert source is not None
    assert re.fullmatch(r"django_tasks_durable/task-progress\.[0-9a-f]+\.js", source[1])
    assert (served / source[1]).is_file()
