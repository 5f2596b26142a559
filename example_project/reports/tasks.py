"""A report that is made in steps and says how far it is."""

from __future__ import annotations

import threading
from typing import Any

from django_tasks_durable import channel, task
from django_tasks_durable.engine.context import DurableContext

QUEUE = "reports"
PAGES = 6
# So that somebody who looks sees it move.
SECONDS_A_PAGE = 0.15


@task(queue_name=QUEUE, max_attempts=2, timeout=60, channels=[channel.topic("reports")])
def generate_report(context: DurableContext, report_id: str) -> dict[str, Any]:
    """Load the rows of a report, make its pages, and say how far it is from 10 to 100."""
    context.log("Downloading the source", percent=10)
    rows = context.step("download", download, report_id)
    context.log("Source downloaded", kind="step", level="success", percent=30, rows=len(rows))
    pages = []
    for number in range(1, PAGES + 1):
        pages.append(context.step(f"page {number}", make_page, number, rows))
        context.progress(label=f"Page {number} of {PAGES}")
        context.log(f"Page {number} of {PAGES}", percent=30 + 10 * number)
    return {"report": report_id, "rows": len(rows), "pages": len(pages)}


def download(report_id: str) -> list[str]:
    """Get the rows of a report."""
    threading.Event().wait(SECONDS_A_PAGE)
    return [f"{report_id}, row {number}" for number in range(1, 25)]


def make_page(number: int, rows: list[str]) -> str:
    """Write the rows of one page."""
    threading.Event().wait(SECONDS_A_PAGE)
    return "\n".join(rows[number - 1 :: PAGES])
