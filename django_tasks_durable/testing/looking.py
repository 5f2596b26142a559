"""What a test wants to know of the runs that its code has enqueued."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django_tasks_durable.backend.results import DurableTaskResult
from django_tasks_durable.compat import Task, task_backends
from django_tasks_durable.conf import get_options
from django_tasks_durable.engine import replaycheck
from django_tasks_durable.primitives import codec
from django_tasks_durable.snapshots import read, waits
from django_tasks_durable.store import transfers


def enqueued(task: Task[..., Any], *, backend: str = "default") -> list[DurableTaskResult]:
    """Return the results of all runs of a task, in the order of their calls."""
    using = get_options(backend).database
    ids = read.runs(using=using).filter(task_path=task.module_path).order_by("id").values_list("id", flat=True)
    results: list[Any] = [task_backends[backend].get_result(str(run_id)) for run_id in ids]
    return results


def assert_enqueued(
    task: Task[..., Any],
    *,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    queue_name: str | None = None,
    times: int | None = None,
    backend: str = "default",
) -> list[DurableTaskResult]:
    """Expect that a task was enqueued, with these arguments if they are given; return the results.

    ``times`` is how often; once or more if it is not given. Raise AssertionError, which names what was enqueued.
    """
    known = enqueued(task, backend=backend)
    found = [
        result
        for result in known
        if (args is None or result.args == _stored(list(args)))
        and (kwargs is None or result.kwargs == _stored(dict(kwargs)))
        and (queue_name is None or result.task.queue_name == queue_name)
    ]
    if len(found) == times or (found and times is None):
        return found
    told = "".join(f"\n  {task.name}(*{one.args}, **{one.kwargs}) on {one.task.queue_name!r}" for one in known)
    wanted = "at least once" if times is None else f"{times} time(s)"
    raise AssertionError(
        f"{task.name} should have been enqueued so {wanted}; of {len(known)} run(s) {len(found)} fit:{told}"
    )


def _stored(value: Any) -> Any:
    """Return a value as it comes back from the store: a tuple as a list."""
    return codec.decode(codec.encode(value))


def answer(result: DurableTaskResult, value: Any, *, key: str | None = None) -> None:
    """Answer a question of a run, by the key of its wait or approval when several are open.

    Raise NotWaiting, AmbiguousResume or AlreadyResolved as ``result.resume()`` does, and LookupError for a key that no
    question has.
    """
    token = None
    if key is not None:
        open_waits = waits.waits(result.run_id, using=result.using)
        tokens = {wait.path.rpartition(":")[2]: wait.token for wait in open_waits}
        if key not in tokens:
            raise LookupError(f"No open question has the key {key!r}; there are {sorted(tokens)}.")
        token = tokens[key]
    result.resume(value, token=token)


def replay(result: DurableTaskResult) -> None:
    """Replay a run against today's code without any effect. Raise AssertionError when it would be parked, saying why."""
    finding = replaycheck.check(result.run_id, transfers.take_out(result.run_id, using=result.using))
    if finding.state != "ok":
        raise AssertionError(f"{finding.task_path} {finding.run_id}: {finding.message}")
