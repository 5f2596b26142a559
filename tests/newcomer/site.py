"""Look at the site that the tutorial has started, as a browser does: log in, see the pages, follow a task over the WebSocket."""

from __future__ import annotations

import json
import re
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar

from websockets.sync.client import connect

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

    def hears_progress(self, task_id: str) -> bool:
        """Follow a task over the WebSocket until it has moved."""
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.cookies)
        headers = {"Cookie": cookies, "Origin": f"http://{self.host}"}
        with connect(f"ws://{self.host}/ws/tasks/", additional_headers=headers) as socket:
            socket.send(json.dumps({"type": "subscribe", "id": "mine", "query": {"ids": [task_id]}}))
            seen: list[str] = []
            while len(seen) < 200:
                told = json.loads(socket.recv(timeout=PATIENCE))
                for frame in told["frames"] if told.get("type") == "batch" else [told]:
                    seen.append(str(frame.get("type")))
                    if frame.get("type") in ("progress", "changed", "step") and "rows" in json.dumps(frame):
                        return True
        raise AssertionError(f"no progress among {seen}")
