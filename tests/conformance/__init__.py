"""Upstream's own test-suite for task backends, run against ours: ``python -m tests.conformance``."""
