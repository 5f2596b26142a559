"""This project beside others of its kind, in one run on one server: `python -m tests.benchmarks.peers`."""
