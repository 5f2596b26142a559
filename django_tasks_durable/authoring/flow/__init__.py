"""Flows: a workflow drawn as JSON, checked as a whole, and written as Python."""

from __future__ import annotations

from .generating import Generated, generate
from .reading import read_flow
from .shapes import Flow, Node

__all__ = ["Flow", "Generated", "Node", "generate", "read_flow"]
