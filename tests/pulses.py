"""What a test that drops streams of the database waits for before its database is emptied."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator

import pytest
from asgiref.sync import SyncToAsync
from django.db import connections


@pytest.fixture(autouse=True)
def settled(transactional_db: None) -> Iterator[None]:
    """Let dropped streams give back what they held, and close what asgiref's thread holds open."""
    yield
    gc.collect()
    for thread in threading.enumerate():
        if thread.name == "dtd-pulse":
            thread.join(10)
    SyncToAsync.single_thread_executor.submit(connections.close_all).result()
