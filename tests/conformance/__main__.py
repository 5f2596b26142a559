"""Run upstream's tests for task backends against ours, and say what was left out and why."""

from __future__ import annotations

import os
import sys
import unittest
from collections.abc import Iterator

import django

from tests.conformance import upstream
from tests.conformance.skips import SKIPS, YOUNGER_THAN_THE_BACKPORT

MODULES = ("test_custom_backend", "test_dummy_backend", "test_immediate_backend", "test_tasks")


def main() -> int:
    """Return 0 when no test fails, and every skip is one of those with a reason."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    try:
        with upstream.prepared() as folder:
            sys.path.insert(0, str(folder))
            return _conform()
    except upstream.Unobtainable as missing:
        print(f"Conformance cannot be tested: {missing}.", file=sys.stderr)
        return 2


def _conform() -> int:
    suite = unittest.defaultTestLoader.loadTestsFromNames([f"tasks.{name}" for name in MODULES])
    tests = [test for test in _tests(suite) if _is_for_this_framework(test)]
    if unknown := _leave_out(tests):
        print(f"Not among upstream's tests, but skipped: {', '.join(sorted(unknown))}.", file=sys.stderr)
        return 2
    return _report(_run(unittest.TestSuite(tests)), len(tests))


def _tests(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from _tests(test)
        elif isinstance(test, unittest.TestCase):
            yield test


def _is_for_this_framework(test: unittest.TestCase) -> bool:
    return upstream.HAS_CORE_TASKS or _name(test) not in YOUNGER_THAN_THE_BACKPORT


def _leave_out(tests: list[unittest.TestCase]) -> set[str]:
    """Mark the tests that are skipped, with their reasons; return the names that no test has."""
    names = {_name(test): test for test in tests}
    for name, reason in SKIPS.items():
        if (test := names.get(name)) is not None:
            kind, method = type(test), name.rpartition(".")[2]
            setattr(kind, method, unittest.skip(reason)(getattr(kind, method)))
    return SKIPS.keys() - names.keys()


def _name(test: unittest.TestCase) -> str:
    return test.id().removeprefix("tasks.")


def _run(suite: unittest.TestSuite) -> unittest.TestResult:
    from django.conf import settings
    from django.test.utils import get_runner

    runner = get_runner(settings)(verbosity=1, interactive=False)
    runner.setup_test_environment()
    databases = runner.setup_databases()
    try:
        return runner.run_suite(suite)
    finally:
        runner.teardown_databases(databases)
        runner.teardown_test_environment()


def _report(result: unittest.TestResult, count: int) -> int:
    failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    print(f"\nLeft out of upstream's {count} tests:")
    for test, reason in sorted(result.skipped, key=lambda pair: _name(pair[0])):
        print(f"  {_name(test)}: {reason}")
    without_reason = [test for test, _ in result.skipped if _name(test) not in SKIPS]
    passed = result.testsRun - len(result.skipped) - failed
    if not upstream.HAS_CORE_TASKS:
        print(f"\nNot for the backport, which has no such code: {', '.join(sorted(YOUNGER_THAN_THE_BACKPORT))}.")
    print(
        f"\nDjango {django.get_version()}: {passed} of {count} passed, {len(result.skipped)} left out, {failed} failed."
    )
    return int(bool(failed or without_reason))


if __name__ == "__main__":
    sys.exit(main())
