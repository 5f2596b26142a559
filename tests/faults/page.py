"""The page of the faults: a table written from what the suite has counted."""

from __future__ import annotations

from typing import Any

from tests.faults.matrix import FAULTS, Fault

NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mysql": "MariaDB"}
HEAD = """\
# What was done to it

Each fault is real: processes are killed and stopped by signals, servers are stopped, connections are cut.
`python -m tests.faults` does what each push does, `--nightly` repeats it, `--soak MINUTES` plays a storm, and `--table` writes
this page from what they found.

*Trials* are tests that passed with that fault. *Runs* are the task runs that were judged after it, *lost* are those that were
gone or did not come to exactly one end, and *again* is how often a run was delivered once more because its worker was dead,
which [is what we promise](promises.md). A word in place of the figures says why a database cannot have that fault.
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
        cells = [_cell(fault, vendor, _counts(found, vendor, name)) for vendor in vendors]
        lines.append(f"| {name} | {fault.what} | {' | '.join(cells)} |")
    lines += ["", "## Not shown", ""]
    for name, fault in FAULTS.items():
        missing = {vendor: why for vendor in vendors if (why := _missing(fault, vendor, _counts(found, vendor, name)))}
        for why in dict.fromkeys(missing.values()):
            where = [NAMES[vendor] for vendor in vendors if missing.get(vendor) == why]
            place = "" if len(where) == len(vendors) else f" on {' and '.join(where)}"
            lines.append(f"- **{name}**{place}, {fault.what}: {why}.")
    lines += ["", "## Soaks", ""]
    lines += [_soak(soak) for soak in soaks] or ["None was played yet."]
    return "\n".join(lines) + "\n"


def _counts(found: dict[str, Any], vendor: str, name: str) -> dict[str, int]:
    counts: dict[str, int] = found[vendor]["faults"].get(name, {})
    return counts


def _cell(fault: Fault, vendor: str, counts: dict[str, int]) -> str:
    """Tell what a database has shown of a fault, or why it has nothing to show."""
    passed, failed = counts.get("passed", 0), counts.get("failed", 0)
    if not passed and not failed:
        return fault.cannot.get(vendor, "not shown")
    judged = [counts.get(f"judged_{what}", 0) for what in ("runs", "lost", "again")]
    told = f"{passed}, {', '.join(map(str, judged))}" if judged[0] else str(passed)
    return f"{told}; **{failed} failed**" if failed else told


def _missing(fault: Fault, vendor: str, counts: dict[str, int]) -> str:
    """Tell why a database has not shown a fault that it can have; nothing when it has."""
    if vendor in fault.cannot or counts.get("passed") or counts.get("failed"):
        return ""
    return fault.not_shown or fault.has_not.get(vendor, "not in the last counted run")


def _soak(soak: dict[str, Any]) -> str:
    told = ", ".join(f"{what} {value}" for what, value in soak.items() if what not in ("verdict", "minutes"))
    return f"- {soak['minutes']} minutes, **{soak['verdict']}**: {told}."
