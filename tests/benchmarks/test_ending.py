"""A benchmark that is told to end clears away what it made."""

from __future__ import annotations

import signal
import subprocess
import sys

from tests.benchmarks.peers.measuring import ROOT

CODE = """
import sys, time
from tests.benchmarks import ending
ending.end_on_sigterm()
try:
    print("begun", flush=True)
    time.sleep(60)
finally:
    print("cleared away", flush=True)
"""


def test_sigterm_lets_a_benchmark_clear_away_what_it_made() -> None:
    process = subprocess.Popen([sys.executable, "-c", CODE], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"

    process.terminate()

    assert process.stdout.read() == "cleared away\n"
    assert process.wait(30) == 128 + signal.SIGTERM
