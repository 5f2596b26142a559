"""Addresses of the example project."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("api/tasks/", include("django_tasks_durable.live.urls")),
    path("api/tasks/", include("django_tasks_durable.api.urls")),
    path("tasks/answers/", include("django_tasks_durable.answers.urls")),
    path("airports/", include("example_project.airports.urls")),
]
