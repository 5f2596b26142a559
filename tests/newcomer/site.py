"""Look at the site that the tutorial has started, as a browser does: log in, see the pages, follow a task over the WebSocket."""

from __future__ import annotations

import json
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from http.cookiejar import CookieJar

from websockets.sync.client import connect

from django_tasks_durable.live.tracker import Tracked, Tracker
from tests.newcomer.walk import Walk

PATIENCE = 90.0


class Visitor:
    """Somebody with a browser, at the site of a port."""

    def __init__(self, port: int) -> None:
        self.host = f"127.0.0.1:{port}"
        self.cookies = CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))

    def get(self, path: str) -> tuple[str, str]:
        """Return the address where a page was found, and the page."""
        with self._opener.open(f"http://{self.host}{path}", timeout=30) as answer:
            return answer.url, answer.read().decode()

    def log_in(self, name: str, password: str) -> None:
        """Log in by the admin's form."""
        _, page = self.get("/admin/login/")
        found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
        assert found, page
        form = {"username": name, "password": password, "csrfmiddlewaretoken": found[1], "next": "/admin/"}
        with self._opener.open(
            f"http://{self.host}/admin/login/", urllib.parse.urlencode(form).encode(), timeout=30
        ) as answer:
            assert answer.url.endswith("/admin/"), answer.url

    def kind_of(self, path: str) -> str:
        """Return what a file says that it is."""
        with self._opener.open(f"http://{self.host}{path}", timeout=30) as answer:
            return str(answer.headers["Content-Type"])

    def answer(self, task_id: str, value: object) -> None:
        """Answer the question of a task, as the buttons of a page do."""
        (token,) = [cookie.value for cookie in self.cookies if cookie.name == "csrftoken"]
        headers = {"Content-Type": "application/json", "X-CSRFToken": str(token)}
        address = f"http://{self.host}/api/tasks/{task_id}/resume/"
        asked = urllib.request.Request(address, json.dumps({"value": value}).encode(), headers)
        with self._opener.open(asked, timeout=30) as answer:
            assert answer.status == 202, answer.status

    def follow(self, task_id: str, until: Callable[[Tracked], bool]) -> Tracked:
        """Follow a task over the WebSocket, and return what is known of it when that holds."""
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.cookies)
        headers = {"Cookie": cookies, "Origin": f"http://{self.host}"}
        tracker = Tracker("mine")
        deadline = time.monotonic() + PATIENCE
        with connect(f"ws://{self.host}/ws/tasks/", additional_headers=headers) as socket:
            socket.send(json.dumps({"type": "subscribe", "id": "mine", "steps": 200, "query": {"ids": [task_id]}}))
            while time.monotonic() < deadline:
                tracker.apply(json.loads(socket.recv(timeout=PATIENCE)))
                assert not tracker.refusal, tracker.refusal
                if task_id in tracker.tracked and until(tracker.tracked[task_id]):
                    return tracker.tracked[task_id]
        raise AssertionError(f"not within {PATIENCE:g} s: {tracker.tasks}")


class Tour:
    """What the reader of the tutorial sees at its site."""

    def __init__(self, walk: Walk) -> None:
        self.walk = walk
        self.visitor = Visitor(walk.port)
        self.second = ""

    def looks(self) -> dict[str, Callable[[], None]]:
        """Return the looks that the tutorial names."""
        return {"admin": self.admin, "moving": self.moving, "answered": self.answered}

    def admin(self) -> None:
        """Find the import in the admin, and its story on its page."""
        self.visitor.log_in("ann", "secret")
        _, index = self.visitor.get("/admin/")
        assert "Durable tasks" in index
        _, tasks = self.visitor.get("/admin/durable_tasks/taskrun/")
        (address,) = set(re.findall(r"/admin/durable_tasks/taskrun/[\w-]{36}/change/", tasks))
        _, page = self.visitor.get(address)
        rows = self.walk.asked("SELECT count(*) FROM airports_airport")
        for seen in (
            "airports.tasks.import_airports",
            "step:rows from 0",
            "step:delete them",
            "Worker lost",
            "succeeded",
            f"{rows}",
        ):
            assert seen in page, f"{address} does not show {seen!r}"

    def moving(self) -> None:
        """Start an import, and watch the page's bar move."""
        address, page = self.visitor.get("/start/")
        assert "<task-progress" in page
        scripts = re.findall(r'<script[^>]* src="([^"]+)"', page)
        assert scripts, page
        for script in scripts:
            assert "javascript" in self.visitor.kind_of(script), script
        self.second = address.rstrip("/").rpartition("/")[2]
        percents: set[float] = set()

        def has_moved(known: Tracked) -> bool:
            percents.add((known.task.get("progress") or {}).get("percent") or 0)
            return len(percents) > 3

        self.visitor.follow(self.second, has_moved)

    def answered(self) -> None:
        """See that the import goes on under another worker, answer its question, and see its end."""
        waiting = self.visitor.follow(self.second, lambda known: known.task["state"] == "waiting")
        assert "stale" in [step["kind"] for step in waiting.steps], "the worker was not missed"
        paths = [step["path"] for step in waiting.steps if str(step["path"]).startswith("step:rows from ")]
        assert len(paths) == len(set(paths)) > 20, paths
        self.visitor.answer(self.second, True)
        ended = self.visitor.follow(self.second, lambda known: known.task["state"] == "succeeded")
        rows = self.walk.asked("SELECT count(*) FROM airports_airport")
        assert ended.task["result"] == rows, ended.task
        uneven = "SELECT count(*) FROM (SELECT code FROM airports_airport GROUP BY code HAVING count(*) <> 2)"
        assert self.walk.asked(uneven) == 0, "two imports have not written each airport twice"
