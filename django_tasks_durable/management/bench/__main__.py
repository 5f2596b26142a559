"""The processes of ``benchtasks``: one that measures, and the workers that it measures."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import traceback
from typing import Any

from . import stage


def main(arguments: list[str]) -> int:
    """Be what the first argument says."""
    stage.set_up()
    role, *rest = arguments
    if role == "measure":
        return measure(json.loads(rest[0]))
    from . import roles

    roles.ROLES[role](rest)
    return 0


def measure(order: dict[str, Any]) -> int:
    """Lay the tables, run the scenes that were asked for and say what was found, as lines of JSON."""
    threading.Thread(target=_die_with_the_parent, daemon=True).start()
    from django.core.management import call_command

    call_command("migrate", "--verbosity", "0")
    from . import costs, drivers, report, scenes
    from .measuring import Measuring

    yardsticks = drivers.limits_of("default", seconds=0.5 * order["scale"])
    measuring = Measuring(yardsticks, scale=order["scale"], say=lambda text: _tell(say=text))
    failed = 0
    chosen = {name: scenes.SCENES[name] for name in order["scenes"]}
    if order["model"]:
        chosen["model"] = costs.observe
    for name, scene in chosen.items():
        _tell(scene=name)
        try:
            scene(measuring)
        except Exception as error:
            failed += 1
            traceback.print_exc()
            _tell(failed=name, why=f"{type(error).__name__}: {error}")
    _tell(results=report.results_of(measuring))
    yardsticks.close()
    return int(bool(failed))


def _tell(**news: Any) -> None:
    sys.stdout.write(json.dumps(news) + "\n")
    sys.stdout.flush()


def _die_with_the_parent() -> None:
    """End this whole group of processes when the command that started it is gone, however it went."""
    sys.stdin.read()
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
