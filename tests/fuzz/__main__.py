"""Make many calls: `python -m tests.fuzz rest --cases 5000 --seed 7`. DATABASE_URL names a server to do it on.

`rest` calls every operation of the REST API; `websocket` says frames, right ones and wrong ones;
`queue` plays so many lives of a queue against a model in plain Python.
"""

from __future__ import annotations

import argparse
import os
import sys

import pytest

PLACES = {
    "rest": "tests/fuzz/test_rest.py",
    "websocket": "tests/fuzz/test_websocket.py",
    "queue": "tests/store/test_any_queue.py",
}


def main() -> int:
    """Fuzz a door. Return 1 when it did what it must not."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("door", choices=sorted(PLACES))
    parser.add_argument("--cases", type=int, default=1000, help="how many calls, frames or lives (default: 1000)")
    parser.add_argument("--seed", type=int, default=0, help="other calls for another number")
    told = parser.parse_args()
    os.environ |= {"FUZZ_CASES": str(told.cases), "FUZZ_SEED": str(told.seed)}
    return int(pytest.main(["-q", "-s", "-x", "--show-capture=no", "--timeout=0", PLACES[told.door]]))


if __name__ == "__main__":
    sys.exit(main())
