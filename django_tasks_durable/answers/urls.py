"""The addresses of links: ``path("tasks/answers/", include("django_tasks_durable.answers.urls"))``."""

from __future__ import annotations

from django.urls import path

from . import views

app_name = "durable_answers"
urlpatterns = [
    path("approval/<str:signed>/", views.approval, name="approval"),
    path("webhook/<str:signed>/", views.webhook, name="webhook"),
]
