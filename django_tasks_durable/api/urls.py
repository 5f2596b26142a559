"""The addresses of the API: ``path("api/tasks/", include("django_tasks_durable.api.urls"))``.

What has a name of its own comes before the id of a task, which is any text.
"""

from __future__ import annotations

from django.urls import URLPattern, path

from . import acts, enqueueing, health, house, runs, workflows
from .schema import IS_INSTALLED


def _document() -> list[URLPattern]:
    if not IS_INSTALLED:
        return []
    from .openapi import OpenApiView  # imports an extra

    return [path("schema/", OpenApiView.as_view(), name="schema")]


app_name = "durable_api"
urlpatterns = [
    *_document(),
    path("", runs.ListView.as_view(), name="list"),
    path("aggregate/", runs.AggregateView.as_view(), name="aggregate"),
    path("bootstrap/", runs.BootstrapView.as_view(), name="bootstrap"),
    path("exposed/", enqueueing.ExposedView.as_view(), name="exposed"),
    path("charts/", health.ChartView.as_view(), name="charts"),
    path("health/", health.FindingsView.as_view(), name="health"),
    path("health/live/", health.LivenessView.as_view(), name="live"),
    path("health/ready/", health.ReadinessView.as_view(), name="ready"),
    path("metrics/", health.MetricsView.as_view(), name="metrics"),
    path("queues/", house.QueuesView.as_view(), name="queues"),
    path("queues/<str:name>/limits/", house.LimitsView.as_view(), name="limits"),
    path("queues/<str:name>/pause/", house.PauseQueueView.as_view(), name="pause-queue"),
    path("queues/<str:name>/unpause/", house.UnpauseQueueView.as_view(), name="unpause-queue"),
    path("schedules/", house.SchedulesView.as_view(), name="schedules"),
    path("schedules/<str:name>/pause/", house.PauseScheduleView.as_view(), name="pause-schedule"),
    path("schedules/<str:name>/unpause/", house.UnpauseScheduleView.as_view(), name="unpause-schedule"),
    path("schedules/<str:name>/run/", house.RunScheduleView.as_view(), name="run-schedule"),
    path("workers/", house.WorkersView.as_view(), name="workers"),
    path("waits/", runs.InboxView.as_view(), name="inbox"),
    path("<str:run_id>/", runs.DetailView.as_view(), name="detail"),
    path("<str:run_id>/steps/", runs.StepsView.as_view(), name="steps"),
    path("<str:run_id>/checkpoints/", runs.CheckpointsView.as_view(), name="checkpoints"),
    path("<str:run_id>/waits/", runs.WaitsView.as_view(), name="waits"),
    path("<str:run_id>/cancel/", acts.CancelView.as_view(), name="cancel"),
    path("<str:run_id>/retry/", acts.RetryView.as_view(), name="retry"),
    path("<str:run_id>/run-now/", acts.RunNowView.as_view(), name="run-now"),
    path("<str:run_id>/copy/", acts.CopyView.as_view(), name="copy"),
    path("<str:run_id>/fork/", acts.ForkView.as_view(), name="fork"),
    path("<str:run_id>/resume/", acts.ResumeView.as_view(), name="resume"),
    path("<str:run_id>/commands/<str:name>/", workflows.CommandView.as_view(), name="command"),
    path("<str:run_id>/queries/<str:name>/", workflows.QueryView.as_view(), name="query"),
    path("<str:run_id>/signal/", acts.SignalView.as_view(), name="signal"),
]
