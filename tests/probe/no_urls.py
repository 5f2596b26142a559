"""The addresses of a site that has none."""

from __future__ import annotations

urlpatterns: list[object] = []
