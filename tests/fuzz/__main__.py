"""Make many calls: `python -m tests.fuzz rest --cases 5000 --seed 7`. DATABASE_URL names a server to do it on."""

from __future__ import annotations

import argparse
import os
import sys

import pytest


def main() -> int:
    """Fuzz a door. Return 1 when it did what it must not."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("door", choices=["rest"])
    parser.add_argument("--cases", type=int, default=1000, help="how many calls (default: 1000)")
    parser.add_argument("--seed", type=int, default=0, help="other calls for another number")
    told = parser.parse_args()
    os.environ |= {"FUZZ_CASES": str(told.cases), "FUZZ_SEED": str(told.seed)}
    return int(pytest.main(["-q", "-s", "-x", "--show-capture=no", "--timeout=0", f"tests/fuzz/test_{told.door}.py"]))


if __name__ == "__main__":
    sys.exit(main())
