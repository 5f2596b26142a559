"""Addresses of the airports app."""

from __future__ import annotations

from django.urls import path

from . import views

app_name = "airports"

urlpatterns = [
    path("", views.index, name="index"),
    path("start/", views.start, name="start"),
    path("<uuid:run>/", views.show, name="import"),
    path("<uuid:run>/answer/", views.answer, name="answer"),
    path("reports/<uuid:run>.html", views.show_report, name="report"),
    path("reports/report.css", views.style_sheet),
]
