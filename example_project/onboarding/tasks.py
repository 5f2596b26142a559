"""What the worker imports to know the workflow."""

from __future__ import annotations

from .onboarding import Onboarding

__all__ = ["Onboarding"]
