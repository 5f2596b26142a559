"""The backend of Django's Tasks framework."""

from .backend import DurableBackend
from .results import DurableTaskResult

__all__ = ["DurableBackend", "DurableTaskResult"]
