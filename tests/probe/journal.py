"""What the world outside has seen: deeds that no rollback, crash or lost database takes back.

A deed is one line appended to the file that PROBE_JOURNAL names. An append is whole or not there, it survives SIGKILL, and
it needs no connection, so that it can be made inside a transaction and while the server is down.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

VARIABLE = "PROBE_JOURNAL"


def deed(name: str, **facts: Any) -> None:
    """Do something that cannot be undone."""
    path = os.environ.get(VARIABLE)
    if not path:
        return
    line = json.dumps({"deed": name, "pid": os.getpid(), **facts}) + "\n"
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)


def deeds(path: Path) -> list[dict[str, Any]]:
    """Read all that was done, in order."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def times(path: Path, name: str, **facts: Any) -> int:
    """Count how often a deed was done."""
    return sum(1 for done in deeds(path) if done["deed"] == name and all(done.get(k) == v for k, v in facts.items()))


def tally(path: Path) -> Counter[str]:
    """Count every deed."""
    return Counter(done["deed"] for done in deeds(path))
