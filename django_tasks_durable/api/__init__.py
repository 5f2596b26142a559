"""Tasks over REST, for programs and pages: ``path("api/tasks/", include("django_tasks_durable.api.urls"))``."""
