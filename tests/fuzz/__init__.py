"""Calls that nobody would think of, made from what a door says of itself: ``python -m tests.fuzz rest --cases 5000``."""
