"""`python -m tests` never passes over a database in silence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests import __main__ as runner
from tests import servers


@contextmanager
def absent() -> Iterator[str]:
    raise servers.Absent("No server here. Start one.")
    yield ""


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let no pytest start; remember on which databases one would have."""
    started: list[str] = []

    class Green:
        returncode = 0

    def start(command: list[str], **_: object) -> Green:
        started.append(" ".join(command[command.index("-c") + 2 :]))
        return Green()

    monkeypatch.setattr(runner.subprocess, "run", start)
    for name in runner.DATABASES:
        monkeypatch.setitem(runner.DATABASES, name, present(name))
    return started


def present(name: str):  # type: ignore[no-untyped-def]
    @contextmanager
    def server() -> Iterator[str]:
        yield f"{name}://here"

    return server


def test_every_database_is_used_where_it_is_found(ran: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.main([]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if line.endswith(" ===") and "green" not in line] == [
        "=== sqlite ===",
        "=== postgresql ===",
        "=== mariadb ===",
    ]


def test_an_absent_mariadb_is_said_aloud(
    ran: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(runner.DATABASES, "mariadb", absent)
    assert runner.main([]) == 0
    assert "Left out: MariaDB: No server here. Start one." in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["--db", "postgresql"]])
def test_an_absent_postgresql_is_a_failure(
    ran: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.setitem(runner.DATABASES, "postgresql", absent)
    assert runner.main(arguments) == 1
    assert "Failed on: postgresql (No server here. Start one.)" in capsys.readouterr().out


def test_a_database_that_was_asked_for_by_name_and_is_absent_is_a_failure(
    ran: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(runner.DATABASES, "mariadb", absent)
    assert runner.main(["--db", "mariadb"]) == 1


def test_the_rest_of_the_command_line_goes_to_pytest(ran: list[str]) -> None:
    runner.main(["--db", "sqlite", "--quick", "-x", "-k", "fence"])
    assert ran == ["--quick -x -k fence"]
