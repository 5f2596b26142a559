"""Bugs that the tests must find: a test of a race or a fault counts only when it kills its mutant."""
