"""Settings of the site that a browser visits: those of the tests, served with static files as runserver does."""

from __future__ import annotations

from tests.settings import *  # noqa: F403

DEBUG = True
