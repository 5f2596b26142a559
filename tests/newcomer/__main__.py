"""Be a new user: `python -m tests.newcomer` walks the tutorial in virtual environments made as it says, on both Django lines.

Needs a network for pip, and the Pythons of both lines (3.11 and 3.13, or what --line names). What the reader types and sees is the
transcript.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests import pythons
from tests.newcomer.site import Tour
from tests.newcomer.walk import Walk
from tests.pages import ROOT, blocks

# A Python, and the Django that pip may install there.
LINES = {"3.11": "5.2.*", "3.13": "6.1.*"}
PACKAGE = ("django_tasks_durable", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")


def main(arguments: list[str] | None = None) -> int:
    """Walk the tutorial on each line, and look at the unit file of the guide. Return 0 only when all went well."""
    parser = argparse.ArgumentParser(prog="python -m tests.newcomer", description=__doc__)
    parser.add_argument("--line", action="append", metavar="PYTHON=DJANGO", help="Only this pair, such as 3.12=5.2.*")
    options = parser.parse_args(arguments)
    lines = LINES if options.line is None else dict(line.split("=", 1) for line in options.line)
    failed = [] if _unit_is_accepted() else ["the systemd unit"]
    for python, django in lines.items():
        interpreter = pythons.find(python)
        if interpreter is None:
            failed.append(f"Python {python} is not installed")
        elif problem := _line(interpreter, django):
            failed.append(f"Python {python} with Django {django}: {problem}")
    print(f"Failed: {'; '.join(failed)}" if failed else "Green.", flush=True)
    return int(bool(failed))


def _line(interpreter: str, django: str) -> str:
    """Walk the tutorial with a Python and a Django; return what went wrong."""
    print(f"=== {interpreter}, Django {django}", flush=True)
    with tempfile.TemporaryDirectory(prefix="newcomer-") as name:
        folder = Path(name)
        (folder / "bin").mkdir()
        (folder / "bin" / "python3").symlink_to(interpreter)
        (folder / "constraints.txt").write_text(f"Django=={django}\n")
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
            walk.follow(ROOT / "docs/tutorial.md", Tour(walk).looks())
            walk.run('python -c "import sys, django; print(sys.version.split()[0], django.__version__)"')
        except (AssertionError, OSError) as error:
            return str(error)
        finally:
            walk.close()
    return ""


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
