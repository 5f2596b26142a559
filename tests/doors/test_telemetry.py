"""One trace from the enqueue through every attempt, with a span for each step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("opentelemetry.sdk", reason="OpenTelemetry's SDK is not installed")

from django_tasks_durable import task, testing

PATH = "django_tasks_durable.telemetry.opentelemetry"
fails_left: list[int] = []


@task(max_attempts=2, metadata={"why": "traced"})
def traced(context: Any, number: int) -> int:
    """Do two steps around a question; the first may fail once."""
    value: int = context.step("load", _load, number)
    context.interrupt({"go": "on?"})
    return context.step("add", sum, [value, 1])


@task
async def atraced(context: Any) -> int:
    """Do one step on the event loop."""
    return await context.astep("one", _one)


def _load(number: int) -> int:
    if fails_left:
        fails_left.pop()
        raise TimeoutError("too slow")
    return number


async def _one() -> int:
    return 1


@pytest.fixture
def spans(settings: Any) -> Iterator[Any]:
    """Collect the spans of one test."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    settings.TASKS = {"default": {**settings.TASKS["default"], "OPTIONS": {"middleware": [PATH]}}}
    exporter = InMemorySpanExporter()
    # A provider is set once for a process.
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        trace.set_tracer_provider(TracerProvider())
    provider = trace.get_tracer_provider()
    assert isinstance(provider, TracerProvider)
    processor = SimpleSpanProcessor(exporter)
    provider.add_span_processor(processor)
    yield exporter.get_finished_spans
    processor.shutdown()


def by_name(found: Any) -> dict[str, list[Any]]:
    """Gather spans by name, without the module."""
    names: dict[str, list[Any]] = {}
    for span in found:
        names.setdefault(span.name.replace(f"{__name__}.", ""), []).append(span)
    return names


@pytest.mark.django_db
def test_enqueue_attempts_and_steps_are_one_trace(spans: Any) -> None:
    from opentelemetry import trace

    with trace.get_tracer("shop").start_as_current_span("request") as request:
        result: Any = traced.enqueue(1)
    testing.drain()
    result.resume(None)
    testing.drain()
    result.refresh()
    assert result.return_value == 2
    found = by_name(spans())
    assert {span.context.trace_id for spans in found.values() for span in spans} == {
        request.get_span_context().trace_id
    }
    (enqueue,) = found["enqueue traced"]
    first, second = found["run traced"]
    assert first.parent.span_id == second.parent.span_id == enqueue.context.span_id
    assert [event.name for event in first.events] == ["suspended"]
    assert [event.name for event in second.events] == []
    assert [span.parent.span_id for span in found["step load"]] == [first.context.span_id]
    assert [span.parent.span_id for span in found["step add"]] == [second.context.span_id]
    assert first.attributes["durable.run_id"] == str(result.run_id)


@pytest.mark.django_db
def test_a_failed_attempt_is_an_error_of_its_span(spans: Any) -> None:
    fails_left.append(1)
    traced.enqueue(1)
    with testing.frozen():
        testing.drain()
        testing.advance(3600)
        testing.drain()
    first, second = by_name(spans())["run traced"]
    assert not first.status.is_ok
    assert [event.name for event in first.events] == ["exception"]
    assert (first.attributes["durable.attempt"], second.attributes["durable.attempt"]) == (1, 2)


@pytest.mark.django_db
def test_a_task_on_the_event_loop_is_traced_too(spans: Any) -> None:
    atraced.enqueue()
    testing.drain()
    found = by_name(spans())
    assert [span.parent.span_id for span in found["step one"]] == [found["run atraced"][0].context.span_id]


@pytest.mark.django_db
def test_what_the_project_keeps_in_the_metadata_stands(spans: Any) -> None:
    result: Any = traced.enqueue(1)
    assert result.snapshot().metadata["why"] == "traced"
    assert set(result.snapshot().metadata["trace"]) == {"traceparent"}


@task
def leaks(context: Any) -> None:
    """Raise what holds a password."""
    raise ConnectionError("no answer from postgres://joe:sesame@db/shop")


@pytest.mark.django_db
def test_no_password_of_an_address_leaves_with_an_exception(spans: Any) -> None:
    leaks.enqueue()
    testing.drain()
    (span,) = by_name(spans())["run leaks"]
    (event,) = span.events
    told = f"{span.status.description} {dict(event.attributes)}"
    assert "no answer from postgres://" in told
    assert "sesame" not in told
