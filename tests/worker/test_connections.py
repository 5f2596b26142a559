"""What a worker's thread does about connections that tasks have left behind."""

from __future__ import annotations

from typing import Any

import pytest

from django_tasks_durable.executors import thread


class Broken:
    """A connection whose driver refuses whatever is asked of it, as one that the server has dropped may do."""

    connection: Any = object()

    def close(self) -> None:
        """Refuse."""
        raise RuntimeError("the driver refuses")

    close_if_unusable_or_obsolete = close


def test_a_connection_that_cannot_be_closed_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Broken()
    monkeypatch.setattr(thread, "opened", lambda: [broken])
    thread.check_connections()
    assert broken.connection is None
