"""The page of the faults: a table written from what the suite has counted."""

from __future__ import annotations

from typing import Any

from tests.faults.matrix import FAULTS

NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mysql": "MariaDB"}
HEAD = """\
# What was done to it

Each fault is real: processes are killed and stopped by signals, servers are stopped, connections are cut.
`python -m tests.faults` does what each push does, `--nightly` repeats it, `--soak MINUTES` plays a storm, and `--table` writes
this page from what they found.

*Trials* are tests that passed with that fault. *Runs* are the task runs that were judged after it, *lost* are those that were
gone or did not come to exactly one end, and *again* is how often a run was delivered once more because its worker was dead,
which [is what we promise](promises.md). An empty cell is not shown on that database.
"""


def page(found: dict[str, Any], soaks: list[dict[str, Any]]) -> str:
    """Write the page."""
    vendors = [name for name in NAMES if name in found]
    lines = [HEAD]
    for vendor in vendors:
        lines.append(f"- **{found[vendor]['version']}**: {found[vendor]['machine']}")
    titles = [f"{NAMES[vendor]}: trials, runs, lost, again" for vendor in vendors]
    lines += ["", f"| | Fault | {' | '.join(titles)} |", f"|---|---|{'---|' * len(vendors)}"]
    for name, fault in FAULTS.items():
        cells = [_cell(found[vendor]["faults"].get(name, {})) for vendor in vendors]
        lines.append(f"| {name} | {fault.what} | {' | '.join(cells)} |")
    lines += ["", "## Not shown", ""]
    for name, fault in FAULTS.items():
        reason = fault.not_shown
        if not reason and not any(_cell(found[vendor]["faults"].get(name, {})) for vendor in vendors):
            reason = "not in the last counted run"
        if reason:
            lines.append(f"- **{name}**, {fault.what}: {reason}.")
    lines += ["", "## Soaks", ""]
    lines += [_soak(soak) for soak in soaks] or ["None was played yet."]
    return "\n".join(lines) + "\n"


def _cell(counts: dict[str, int]) -> str:
    """Tell what a database has shown of a fault; nothing, when no trial passed and none failed."""
    passed, failed = counts.get("passed", 0), counts.get("failed", 0)
    if not passed and not failed:
        return ""
    judged = [counts.get(f"judged_{what}", 0) for what in ("runs", "lost", "again")]
    told = f"{passed}, {', '.join(map(str, judged))}" if judged[0] else str(passed)
    return f"{told}; **{failed} failed**" if failed else told


def _soak(soak: dict[str, Any]) -> str:
    told = ", ".join(f"{what} {value}" for what, value in soak.items() if what not in ("verdict", "minutes"))
    return f"- {soak['minutes']} minutes, **{soak['verdict']}**: {told}."
