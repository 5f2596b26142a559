"""Be a new user: `python -m tests.newcomer` walks the tutorial in virtual environments made as it says, on both Django lines.

Needs a network for pip, and the Pythons of both lines (`python3.11` and `python3.13`, or what --line names). What the reader types
and sees is the transcript.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.newcomer.walk import Walk
from tests.pages import ROOT, blocks

# The interpreter, and what pip may install.
LINES = {"python3.11": "Django>=5.2,<5.3", "python3.13": "Django>=6.1,<6.2"}
PACKAGE = ("django_tasks_durable", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")


def main(arguments: list[str] | None = None) -> int:
    """Walk the tutorial on each line, and look at the unit file of the guide. Return 0 only when all went well."""
    parser = argparse.ArgumentParser(prog="python -m tests.newcomer", description=__doc__)
    parser.add_argument(
        "--line", action="append", metavar="PYTHON=DJANGO", help="Only this pair, such as python3.12=5.2.*"
    )
    options = parser.parse_args(arguments)
    lines = LINES if options.line is None else dict(_pair(line) for line in options.line)
    failed = [] if _unit_is_accepted() else ["the systemd unit"]
    for python, django in lines.items():
        if shutil.which(python) is None:
            failed.append(f"{python} is not installed")
        elif problem := _line(python, django):
            failed.append(f"{python} with {django}: {problem}")
    print(f"Failed: {'; '.join(failed)}" if failed else "Green.", flush=True)
    return int(bool(failed))


def _pair(text: str) -> tuple[str, str]:
    python, _, django = text.partition("=")
    return python, f"Django=={django}"


def _line(python: str, django: str) -> str:
    """Walk the tutorial with a Python and a Django; return what went wrong."""
    from tests.newcomer.test_tutorial import look_at_the_site  # of pytest's world, which a walk does not need

    print(f"=== {python}, {django}", flush=True)
    with tempfile.TemporaryDirectory(prefix="newcomer-") as name:
        folder = Path(name)
        (folder / "bin").mkdir()
        (folder / "bin" / "python3").symlink_to(_installed(python))
        (folder / "constraints.txt").write_text(f"{django}\n")
        source = folder / "package"
        source.mkdir()
        for part in PACKAGE:
            (shutil.copytree if (ROOT / part).is_dir() else shutil.copy)(ROOT / part, source / part)
        gone = ("DATABASE_URL", "DJANGO_SETTINGS_MODULE", "PYTHONPATH", "VIRTUAL_ENV")
        environment = {key: value for key, value in os.environ.items() if key not in gone}
        environment |= {
            "PATH": f"{folder / 'bin'}:{environment['PATH']}",
            "PIP_CONSTRAINT": str(folder / "constraints.txt"),
            "PIP_QUIET": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }
        walk = Walk(folder, environment, fresh=True, source=source)
        try:
            walk.follow(ROOT / "docs/tutorial.md")
            walk.run('python -c "import sys, django; print(sys.version.split()[0], django.__version__)"')
            look_at_the_site(walk.port)
            print("The admin, the page and the WebSocket answer.", flush=True)
        except (AssertionError, OSError) as error:
            return str(error)
        finally:
            walk.close()
    return ""


def _installed(python: str) -> str:
    """Return the interpreter behind whatever stands for it: a shim, or another virtual environment."""
    code = "import sys; print(sys._base_executable)"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def _unit_is_accepted() -> bool:
    program = shutil.which("systemd-analyze")
    if program is None:
        print("systemd-analyze is not installed (apt-get install systemd): the unit file is not looked at.")
        return True
    with tempfile.TemporaryDirectory(prefix="newcomer-") as name:
        (unit,) = [block.code for block in blocks() if block.language == "ini" and "ExecStart" in block.code]
        path = Path(name) / "shop-tasks@1.service"
        path.write_text(unit)
        outcome = subprocess.run([program, "verify", str(path)], capture_output=True, text=True, check=False)
    print(f"$ systemd-analyze verify {path.name}\n{outcome.stderr or 'accepted'}", flush=True)
    return outcome.returncode == 0 and not outcome.stderr


if __name__ == "__main__":
    sys.exit(main())
