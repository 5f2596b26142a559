"""Play many seeds: ``python -m tests.simulator --seeds 1000 [--ground model] [--first 0] [--jobs 2]``.

Each seed is played on every ground, which is the real store on SQLite in memory, and the model in plain Python.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys


def main() -> int:
    """Divide the seeds among processes, each with a database of its own; return 1 when a seed broke a promise."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulator", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=1000, help="How many on each ground (default: 1000).")
    parser.add_argument("--ground", choices=("sqlite", "model"), help="Only this ground.")
    parser.add_argument("--first", type=int, default=0, help="The first one (default: 0).")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="Processes (default: one for each core).")
    chosen = parser.parse_args()
    chosen_tests = f"any_seed and {chosen.ground}" if chosen.ground else "any_seed"
    share = -(-chosen.seeds // chosen.jobs)
    children = [
        subprocess.Popen(
            [sys.executable, "-m", "pytest", "-q", "-x", "tests/simulator/test_simulator.py", "-k", chosen_tests],
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "tests.settings",
                "SIMULATOR_FIRST": str(chosen.first + job * share),
                "SIMULATOR_SEEDS": str(min(share, chosen.seeds - job * share)),
            },
        )
        for job in range(chosen.jobs)
        if job * share < chosen.seeds
    ]
    return max(child.wait() for child in children)


if __name__ == "__main__":
    sys.exit(main())
