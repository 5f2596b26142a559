"""Calls that nobody would think of, and frames that nobody would say: ``python -m tests.fuzz rest --cases 5000``."""
