"""`python -m tests.release`: build the sdist and the wheel of it, install that into fresh environments, and use it there.

One environment for each Python and Django of tox's list whose Python is found; `--only 3.13:6.1` names one. Needs the
network or a mirror for pip, and some minutes: it is run before a release.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from configparser import ConfigParser
from pathlib import Path

from tests import pythons

ROOT = Path(__file__).resolve().parent.parent.parent
PROJECT = Path(__file__).with_name("project.py")
IN_THE_WHEEL = ("templates/", "static/", "locale/", "migrations/0001_initial.py", "py.typed", "flow.schema.json")


def main() -> int:
    """Return 0 when every line works."""
    parser = argparse.ArgumentParser(prog="python -m tests.release", description=__doc__)
    parser.add_argument("--only", action="append", metavar="PYTHON:DJANGO", help="only this line (may be repeated)")
    only = parser.parse_args().only
    failed = []
    with tempfile.TemporaryDirectory(prefix="release-") as folder:
        wheel = build(Path(folder))
        for python, django in lines():
            name = f"{python}:{django}"
            if only and name not in only:
                continue
            interpreter = pythons.find(python)
            if interpreter is None:
                print(f"left out  Python {python}, Django {django}: no such Python here", flush=True)
                continue
            verdict = try_line(Path(folder) / name.replace(":", "-"), interpreter, wheel, django)
            print(
                f"{'FAILED' if verdict.returncode else 'ok':9} Python {python}, {verdict.stdout.strip()[-2000:]}",
                flush=True,
            )
            if verdict.returncode:
                print(verdict.stderr[-4000:])
                failed.append(name)
    print(f"Failed: {', '.join(failed)}" if failed else "Green.")
    return int(bool(failed))


def build(folder: Path) -> Path:
    """Build from a clone of what is committed, and return the wheel, which was made of the sdist alone."""
    run("git", "clone", "-q", str(ROOT), str(folder / "clone"))
    run(sys.executable, "-m", "venv", str(folder / "builder"))
    builder = str(folder / "builder" / "bin" / "python")
    run(builder, "-m", "pip", "install", "-q", "build")
    run(builder, "-m", "build", "--outdir", str(folder / "dist"), str(folder / "clone"))
    (sdist,), (wheel,) = (folder / "dist").glob("*.tar.gz"), (folder / "dist").glob("*.whl")
    held = zipfile.ZipFile(wheel).namelist()
    missing = [part for part in IN_THE_WHEEL if not any(part in name for name in held)]
    assert not missing, f"missing from the wheel: {missing}"
    with tarfile.open(sdist) as archive:
        assert any(name.endswith("/LICENSE") for name in archive.getnames())
    print(
        f"built     {sdist.name} ({sdist.stat().st_size:,} bytes), {wheel.name} ({wheel.stat().st_size:,} bytes)",
        flush=True,
    )
    return wheel


def lines() -> list[tuple[str, str]]:
    """Return each Python and Django that tox names."""
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    found = []
    for group in config["tox:tox"]["envlist"].replace("\n", " ").split(", py"):
        pythons, _, django = group.strip().removeprefix("py").partition("-dj")
        found += [(f"{each[0]}.{each[1:]}", f"{django[0]}.{django[1:]}") for each in pythons.strip("{}").split(",")]
    return found


def try_line(folder: Path, python: str, wheel: Path, django: str) -> subprocess.CompletedProcess[str]:
    """Install the wheel with one Django into a fresh environment, and use it in a project there."""
    run(python, "-m", "venv", str(folder / "venv"))
    own = str(folder / "venv" / "bin" / "python")
    run(own, "-m", "pip", "install", "-q", str(wheel), f"Django~={django}.0")
    (folder / "project").mkdir()
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return subprocess.run(
        [own, str(PROJECT)], cwd=folder / "project", env=environment, capture_output=True, text=True, check=False
    )


def run(*command: str) -> None:
    """Run a command; leave with what it said when it fails."""
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    if outcome.returncode:
        sys.exit(f"{' '.join(command)}\n{outcome.stdout[-3000:]}{outcome.stderr[-3000:]}")


if __name__ == "__main__":
    sys.exit(main())
