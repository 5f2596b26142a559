"""Which site a handshake comes from."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http.request import split_domain_port, validate_host
from django.utils.http import is_same_domain


def is_from_here(scope: Any) -> bool:
    """Tell whether a handshake comes from this site, a trusted one, or no browser at all.

    A browser sends the cookies of the user whoever made the page; this is what CSRF protection is to a form.
    """
    headers = {name: value.decode("latin-1") for name, value in scope.get("headers", ())}
    origin = headers.get(b"origin")
    if origin is None:
        return True
    host = headers.get(b"host", "")
    if settings.USE_X_FORWARDED_HOST:
        host = headers.get(b"x-forwarded-host", host)
    parts = urlsplit(origin)
    if any(_trusts(trusted, parts.scheme, parts.netloc) for trusted in settings.CSRF_TRUSTED_ORIGINS):
        return True
    domain, _ = split_domain_port(host)
    allowed = settings.ALLOWED_HOSTS or (["localhost", ".localhost", "127.0.0.1", "[::1]"] if settings.DEBUG else [])
    return parts.netloc == host and bool(domain) and validate_host(domain, allowed)


def _trusts(trusted: str, scheme: str, netloc: str) -> bool:
    wanted_scheme, _, pattern = trusted.partition("://")
    pattern = pattern.removeprefix("*")
    return scheme == wanted_scheme and is_same_domain(netloc, pattern)
