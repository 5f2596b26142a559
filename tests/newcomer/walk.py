"""Walk a page as its reader does: write its files, type its commands, compare what they print."""

from __future__ import annotations

import re
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.pages import ROOT, Block, blocks_of

PATIENCE = 120.0
AT_THE_END = " (at the end)"
SAMPLE_ID = "8cbd6b01"
MARK = "<<<this command has ended>>>"
UUID = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-([0-9a-f]{12})$", re.MULTILINE)
OF_THE_FRESH = ("python3 -m venv", "source ", "pip install")


class Walk:
    """A shell in a folder, and a page that is followed in it.

    `fresh` is whether the reader's own virtual environment is made; without it the commands take the Python that runs this.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], *, fresh: bool, source: Path = ROOT) -> None:
        self.folder = folder
        self.fresh = fresh
        self.source = source
        self.told: list[str] = []
        self.port = _free_port()
        self._id = SAMPLE_ID
        self._shell = subprocess.Popen(
            ["bash", "--norc"], cwd=folder, env=dict(environment), text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def follow(self, page: Path, looks: Mapping[str, Callable[[], None]]) -> None:
        """Do all that the page says, block by block, and look where it says so: each look is of one name."""
        open_looks = dict(looks)
        for block in blocks_of(page):
            if block.look:
                self._say(f"# {block.look}")
                open_looks.pop(block.look)()
            if block.title:
                self._write(block)
            elif block.until:
                self._wait(block)
            elif block.language == "console":
                self._type(block)
        assert not open_looks, f"{page.name} has no place for {', '.join(open_looks)}"

    def asked(self, query: str) -> Any:
        """Ask the reader's database for one value."""
        with closing(sqlite3.connect(self.project / "db.sqlite3", timeout=5)) as connection:
            return connection.execute(query).fetchone()[0]

    def close(self) -> None:
        """End the shell and all that it started."""
        subprocess.run(["pkill", "-KILL", "-s", str(self._shell.pid)], check=False)
        self._shell.wait()

    @property
    def project(self) -> Path:
        """The folder that the page makes."""
        return self.folder / "world"

    def _write(self, block: Block) -> None:
        name = block.title.removesuffix(AT_THE_END)
        path = self.project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.read_text() + "\n" if block.title.endswith(AT_THE_END) else ""
        path.write_text(before + block.code)
        self._say(f"# {block.title} is written")

    def _type(self, block: Block) -> None:
        commands = re.findall(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", block.code, re.MULTILINE)
        for command, wanted in commands:
            if not self.fresh and command.startswith(OF_THE_FRESH):
                continue
            printed = self.run(command)
            assert wanted.strip() in printed, f"{block}: {command}\nprinted {printed}\nand not {wanted}"

    def run(self, command: str) -> str:
        """Type a command, and return what it printed. It must go well."""
        typed = command.replace("path/to/django-tasks-durable", str(self.source)).replace(SAMPLE_ID, self._id)
        typed = re.sub(r"\b8000\b", str(self.port), typed)
        self._say(f"$ {typed}")
        assert self._shell.stdin
        assert self._shell.stdout
        self._shell.stdin.write(f"{typed}\necho; echo '{MARK}' $?\n")
        lines: list[str] = []
        for line in self._shell.stdout:
            if line.startswith(MARK):
                printed = "".join(lines).strip()
                self._say(printed)
                assert line.split()[-1] == "0", f"{typed}\n{printed}"
                if found := UUID.search(printed):
                    self._id = found[2][-8:]
                return printed
            lines.append(line)
        raise AssertionError(f"the shell ended at: {typed}\n{''.join(lines)}")

    def _wait(self, block: Block) -> None:
        deadline = time.monotonic() + PATIENCE
        while not self._holds(block.until):
            logs = "\n".join(path.read_text()[-2000:] for path in self.project.glob("*.log"))
            assert time.monotonic() < deadline, f"{block}: never came to {block.until}\n{logs}"
            time.sleep(0.05)

    def _holds(self, condition: str) -> bool:
        if condition.startswith("GET "):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{condition[4:]}", timeout=5) as answer:
                    return bool(answer.status == 200)
            except OSError:
                return False
        try:
            return bool(self.asked(condition))
        except sqlite3.OperationalError:
            return False

    def _say(self, text: str) -> None:
        if text:
            self.told.append(text)
            print(text, file=sys.stderr, flush=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
