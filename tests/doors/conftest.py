"""What the tests of the doors share."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client


@pytest.fixture
def root() -> Client:
    """A superuser's browser."""
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


@pytest.fixture(autouse=True)
def nobody_called_before() -> None:
    """Forget how often users of earlier tests called: their ids come again."""
    cache.clear()
