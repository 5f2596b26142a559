"""Play many seeds: ``python -m tests.simulator --seeds 2000 [--first 0] [--jobs 2]``."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys


def main() -> int:
    """Divide the seeds among processes, each with a database of its own; return 1 when a seed broke a promise."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000, help="How many (default: 2000).")
    parser.add_argument("--first", type=int, default=0, help="The first one (default: 0).")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="Processes (default: one for each core).")
    chosen = parser.parse_args()
    share = -(-chosen.seeds // chosen.jobs)
    children = [
        subprocess.Popen(
            [sys.executable, "-m", "pytest", "-q", "-x", "tests/simulator/test_simulator.py", "-k", "any_seed"],
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
