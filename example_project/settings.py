"""Settings of the example project: SQLite, the admin, and a durable task backend."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import django

from example_project import databases

BASE_DIR = Path(__file__).resolve().parent.parent

# This project runs on one machine for its owner's eyes; a real one keeps its key out of the repository.
SECRET_KEY = os.environ.get("SECRET_KEY", "only-for-the-example-project-never-for-a-real-one")
DEBUG = os.environ.get("DEBUG", "1") == "1"
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]", "testserver"]

INSTALLED_APPS = [
    *(["daphne"] if find_spec("daphne") else []),
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    *(["django_tasks"] if django.VERSION < (6, 0) else []),
    "django_tasks_durable",
    "example_project.airports",
    "example_project.chat",
    "example_project.checkout",
    "example_project.payment",
    "example_project.pipeline",
    "example_project.reports",
    "example_project.onboarding",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "example_project.headers.content_security_policy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_tasks_durable.middleware.remember_request",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "example_project.urls"
ASGI_APPLICATION = "example_project.asgi.application"

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES: dict[str, dict[str, Any]] = {
    "default": databases.from_url(os.environ.get("DATABASE_URL") or f"sqlite:///{BASE_DIR / 'db.sqlite3'}"),
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# How long a worker that died keeps what it ran. The demo shortens it, since it is going to kill one.
LEASE_SECONDS = float(os.environ.get("LEASE_SECONDS", "30"))
TASKS: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "django_tasks_durable.DurableBackend",
        "QUEUES": [],
        "OPTIONS": {
            "middleware": ["django_tasks_durable.middleware.enqueued_by"],
            "lease_seconds": LEASE_SECONDS,
            "heartbeat_seconds": LEASE_SECONDS / 3,
            "sweep_seconds": LEASE_SECONDS / 3,
        },
    },
}

# Nothing needs a channel layer; with Redis the workers' news come a little sooner.
if REDIS_URL := os.environ.get("REDIS_URL", ""):
    CHANNEL_LAYERS: dict[str, dict[str, Any]] = {
        "default": {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": [REDIS_URL]}},
    }

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "static-root"
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True

AIRPORTS_REPORT_DIR = Path(os.environ.get("AIRPORTS_REPORT_DIR") or BASE_DIR / "demo-out")
