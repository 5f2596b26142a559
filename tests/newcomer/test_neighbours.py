"""Apps that stand beside this one in many projects: each is tried where it is installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from example_project import databases
from tests.newcomer.project import SETTINGS, Project
from tests.newcomer.test_bare_project import TASKS

pytestmark = [pytest.mark.slow, pytest.mark.databases("sqlite")]


def needs(module: str) -> pytest.MarkDecorator:
    """Leave a test out where a package is not installed."""
    return pytest.mark.skipif(find_spec(module) is None, reason=f"{module} is not installed")


WHITENOISE = """
INSTALLED_APPS += ["rest_framework"]
MIDDLEWARE.insert(1, "whitenoise.middleware.WhiteNoiseMiddleware")
STATIC_ROOT = BASE_DIR / "static-root"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
DEBUG = False
ALLOWED_HOSTS = ["localhost"]
"""
STATIC_OF_A_PAGE = """
import re
from django.contrib.auth.models import User
from django.test import Client

client = Client(SERVER_NAME="localhost")
client.force_login(User.objects.create_superuser("ann"))
page = client.get("/admin/durable_tasks/taskrun/").content.decode()
found = {}
for address in sorted(set(re.findall(r'(?:src|href)="(/static/django_tasks_durable/[^"]+)"', page))):
    response = client.get(address)
    found[address] = [response.status_code, response.headers.get("Cache-Control", "")]
print(json.dumps(found))
"""


@needs("whitenoise")
def test_whitenoise_serves_what_the_admin_asks_for_under_hashed_names(tmp_path: Path) -> None:
    project = Project(tmp_path, settings=SETTINGS + WHITENOISE, tasks=TASKS)
    project.run("manage.py", "migrate", "-v0")
    project.run("manage.py", "collectstatic", "--noinput", "-v0")
    found = project.program(STATIC_OF_A_PAGE)
    assert isinstance(found, dict)
    assert found
    assert {status for status, _ in found.values()} == {200}
    assert all("immutable" in kept for _, kept in found.values()), found


FILTERS = """
INSTALLED_APPS += ["rest_framework", "django_filters", "drf_spectacular"]
REST_FRAMEWORK = {
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
}
ROOT_URLCONF = "bare.api"
"""
URLS = """
from django.contrib import admin
from django.urls import include, path

urlpatterns = [path("admin/", admin.site.urls), path("api/tasks/", include("django_tasks_durable.api.urls"))]
"""
FILTERED = """
from django.contrib.auth.models import User
from django.test import Client
from drf_spectacular.generators import SchemaGenerator
from bare.tasks import count

count.enqueue(3)
client = Client(SERVER_NAME="localhost")
client.force_login(User.objects.create_superuser("ann"))
schema = SchemaGenerator().get_schema(request=None, public=True)
print(json.dumps({
    "ready": len(client.get("/api/tasks/", {"status": "READY"}).json()["results"]),
    "failed": len(client.get("/api/tasks/", {"status": "FAILED"}).json()["results"]),
    "parameters": sorted(each["name"] for each in schema["paths"]["/api/tasks/"]["get"]["parameters"]),
}))
"""


@needs("django_filters")
@needs("drf_spectacular")
def test_django_filter_and_drf_spectacular_leave_the_filters_as_they_are(tmp_path: Path) -> None:
    project = Project(tmp_path, settings=SETTINGS + FILTERS, tasks=TASKS)
    (tmp_path / "bare" / "api.py").write_text(URLS)
    project.run("manage.py", "migrate", "-v0")
    project.run("manage.py", "check")
    seen = project.program(FILTERED)
    assert isinstance(seen, dict)
    assert (seen["ready"], seen["failed"]) == (1, 0)
    assert {"status", "task_path", "cursor"} <= set(seen["parameters"])


@needs("environ")
@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:s%40me@db.example.com:5433/shop",
        "postgres://ann@localhost/shop",
        "mysql://ann:word@localhost:3306/shop",
        "sqlite:////srv/shop/db.sqlite3",
    ],
)
def test_a_database_url_means_what_django_environ_takes_it_for(url: str) -> None:
    if urlsplit(url).scheme == "mysql":
        pytest.importorskip("pymysql")
    from environ import Env

    theirs, ours = Env.db_url_config(url), databases.from_url(url)
    for part in ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT"):
        assert str(theirs.get(part) or "") == str(ours.get(part) or ""), part
