"""OpenTelemetry: one trace from the enqueue through every attempt, with a span for each step. Needs the extra ``otel``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from django.utils.decorators import sync_and_async_middleware
from opentelemetry import propagate, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from . import __version__
from .authoring.middleware import AttemptContext, EnqueueContext, GetOutcome, within
from .engine.collecting import StepCompleted, listening
from .exceptions import ControlFlow, Suspend
from .primitives import clock
from .primitives.codec import error_record

CARRIER = "trace"
NANOSECONDS = 1_000_000_000

Facts = dict[str, str | int]


@sync_and_async_middleware
def opentelemetry(get_outcome: GetOutcome) -> GetOutcome:
    """Trace enqueues, attempts and steps. The attempts of a run belong to the trace that its caller was in.

    The context goes along as ``trace`` of the run's metadata, in the format of OpenTelemetry's propagator. An attempt that
    waits or sleeps ends its span with the event ``suspended``; the next one has a span of its own. A step that was only
    remembered has none.
    """
    tracer = trace.get_tracer("django_tasks_durable", __version__)

    def traced(context: EnqueueContext | AttemptContext) -> AbstractContextManager[None]:
        return _enqueue(tracer, context) if isinstance(context, EnqueueContext) else _attempt(tracer, context)

    return within(get_outcome, traced)


@contextmanager
def _enqueue(tracer: trace.Tracer, context: EnqueueContext) -> Iterator[None]:
    path = context.task.module_path
    facts: Facts = {"durable.task": path, "durable.queue": context.task.queue_name, "durable.calls": len(context.calls)}
    with tracer.start_as_current_span(f"enqueue {path}", kind=SpanKind.PRODUCER, attributes=facts):
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        if carrier:
            context.metadata.setdefault(CARRIER, carrier)
        yield


@contextmanager
def _attempt(tracer: trace.Tracer, context: AttemptContext) -> Iterator[None]:
    path = context.task.module_path
    name = f"undo {path}" if context.is_undoing else f"run {path}"
    named: Facts = {"durable.task": path, "durable.run_id": str(context.run_id), "durable.attempt": context.attempt}
    caller = propagate.extract(context.metadata.get(CARRIER) or {})
    # What a task leaves its body by is not always an error, so neither is recorded by itself.
    with tracer.start_as_current_span(
        name,
        context=caller,
        kind=SpanKind.CONSUMER,
        attributes=named,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            with listening(lambda step: _step(tracer, span, step)):
                yield
        except Suspend:
            span.add_event("suspended")
            raise
        except ControlFlow as flow:
            span.add_event(type(flow).__name__)
            raise
        except BaseException as error:
            told = error_record(error)
            facts = {"exception.message": told.message, "exception.stacktrace": told.traceback}
            span.record_exception(error, attributes=facts)
            span.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {told.message}"))
            raise


def _step(tracer: trace.Tracer, attempt: Span, step: StepCompleted) -> None:
    ended = clock.unix_milliseconds() * 1_000_000
    span = tracer.start_span(
        f"step {step.key}",
        context=trace.set_span_in_context(attempt),
        start_time=ended - int(step.seconds * NANOSECONDS),
        attributes={"durable.run_id": str(step.run_id), "durable.path": step.path},
    )
    span.end(ended)
