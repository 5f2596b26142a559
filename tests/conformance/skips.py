"""Which of upstream's tests are left out, and why."""

from __future__ import annotations

DUMMY_LIST = "private to the DummyBackend: changes the object in its list of results and expects to see that again"
CAN_GET = "a limit that we do not have: our results can be had and refreshed"
CAN_DEFER = "a limit that we do not have: run_after works"
CAN_STORE = "a limit that we do not have: a datetime can be an argument"
SYNC_IN_ASYNC = "calls the synchronous ORM inside async def, which Django forbids"

SKIPS = {
    "test_dummy_backend.DummyBackendTestCase.test_refresh_result": DUMMY_LIST,
    "test_dummy_backend.DummyBackendTestCase.test_refresh_result_async": DUMMY_LIST,
    "test_immediate_backend.ImmediateBackendTestCase.test_cannot_get_result": CAN_GET,
    "test_immediate_backend.ImmediateBackendTestCase.test_cannot_refresh_result": CAN_GET,
    "test_immediate_backend.ImmediateBackendTestCase.test_cannot_pass_run_after": CAN_DEFER,
    "test_tasks.TaskTestCase.test_enqueue_with_invalid_argument": CAN_STORE,
    "test_tasks.TaskTestCase.test_aenqueue_with_invalid_argument": CAN_STORE,
    "test_tasks.TaskTestCase.test_refresh_result": SYNC_IN_ASYNC,
}

# Tests of Django's own code that is younger than the backport: its Task cannot be pickled, and its decorator takes no
# options that it does not know.
YOUNGER_THAN_THE_BACKPORT = frozenset(
    {
        "test_tasks.TaskTestCase.test_unpickle_arbitrary_string",
        "test_tasks.TaskTestCase.test_unpickle_non_task_object",
        "test_tasks.TaskTestCase.test_run_after_in_decorator",
    }
)
