"""News for those who watch, sent after the commit that made it true.

A receiver hears hints, never facts: look at a snapshot to learn what is.
"""

from __future__ import annotations

from django.dispatch import Signal

#: Something about these runs changed. Arguments: ``using`` (alias), ``run_ids`` (list of UUID).
run_changed = Signal()

#: There may be work in a queue. Arguments: ``using`` (alias), ``queue_name``.
work_available = Signal()

#: A step of a run left its checkpoint. Arguments: ``using`` (alias), ``run_id``, ``path``.
step_completed = Signal()

#: The body of a run is about to begin, on the thread that will carry it. Arguments: ``claimed`` (ClaimedRun).
run_started = Signal()

#: An attempt has ended and that is durable. Arguments: ``using``, ``claimed``, ``outcome`` (of writes), ``status`` (RunStatus).
run_ended = Signal()
