"""What others hear of a worker's runs."""

from __future__ import annotations

import threading
from typing import Any
from uuid import UUID, uuid4

from django_tasks_durable import signals
from django_tasks_durable.worker.news import News


def test_a_receiver_that_raises_keeps_nothing_from_the_others() -> None:
    heard: list[UUID] = []

    def raises(**told: Any) -> None:
        raise RuntimeError("a receiver's own fault")

    def hears(run_ids: list[UUID], **told: Any) -> None:
        heard.extend(run_ids)

    signals.run_changed.connect(raises)
    signals.run_changed.connect(hears)
    try:
        first, second = uuid4(), uuid4()
        news = News("default")
        news.moved(lambda: [first])
        news.moved(lambda: [second])
        news.stop()
        teller = threading.Thread(target=news.run)
        teller.start()
        teller.join(60)
    finally:
        signals.run_changed.disconnect(raises)
        signals.run_changed.disconnect(hears)
    assert heard == [first, second]
