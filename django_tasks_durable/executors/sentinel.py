"""A small process that outlives a worker for a moment, to end what the worker's children have started."""

from __future__ import annotations

import subprocess
import sys

# It imports nothing of the project, so that it starts at once and holds next to no memory. What it reads ends with its worker.
_PROGRAM = """
import os, signal, sys
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
groups = set()
for line in sys.stdin:
    (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
for group in groups:
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        pass
"""


class Sentinel:
    """Knows the process groups of all children, and kills those that are left when this process is gone.

    A child itself ends with its worker by the system's own means; what it has started does not.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            bufsize=0,
        )

    def watch(self, group: int) -> None:
        """Kill this group should this process die."""
        self._tell(f"+{group}\n")

    def forget(self, group: int) -> None:
        """Leave this group alone, whose number may soon be another's."""
        self._tell(f"-{group}\n")

    def leave(self) -> None:
        """Let the sentinel end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode())
        except OSError:
            pass  # somebody has killed it; the system still ends the children themselves
