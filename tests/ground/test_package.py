"""What a user imports, and what an import must not do."""

from __future__ import annotations

import subprocess
import sys

import pytest

import django_tasks_durable


def python(program: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a Python of its own, without settings."""
    return subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": "."}, capture_output=True, text=True, check=False
    )


def test_importing_the_package_needs_no_settings_and_no_apps() -> None:
    done = python("import sys, django_tasks_durable; print('django' in sys.modules)")
    assert (done.returncode, done.stdout.strip()) == (0, "False"), done.stderr


def test_naming_the_backend_needs_no_apps() -> None:
    done = python(
        "from django.conf import settings; settings.configure(); "
        "from django_tasks_durable import DurableBackend, task; import sys; "
        "print('django_tasks_durable.models' in sys.modules)"
    )
    assert (done.returncode, done.stdout.strip()) == (0, "False"), done.stderr


@pytest.mark.parametrize("name", django_tasks_durable.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(django_tasks_durable, name) is not None
    assert name in dir(django_tasks_durable)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'tusk'"):
        django_tasks_durable.tusk


def test_the_package_is_typed() -> None:
    from importlib.resources import files

    assert (files("django_tasks_durable") / "py.typed").is_file()
