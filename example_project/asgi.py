"""The example project for an ASGI server."""

from __future__ import annotations

import os

from channels.routing import ProtocolTypeRouter, URLRouter
from channels.sessions import SessionMiddlewareStack
from django.conf import settings
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example_project.settings")

pages = get_asgi_application()
if settings.DEBUG:
    # As runserver does: a site that one command brings up has no web server in front of it.
    pages = ASGIStaticFilesHandler(pages)

# Imports models, so it waits for the application above.
from django_tasks_durable.live.routing import websocket_urlpatterns  # noqa: E402

application = ProtocolTypeRouter({"http": pages, "websocket": SessionMiddlewareStack(URLRouter(websocket_urlpatterns))})
