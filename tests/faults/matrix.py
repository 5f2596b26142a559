"""The faults, each with what is done to the system, and where a fault that the suite cannot do is owned up to."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

NOTHING: Mapping[str, str] = MappingProxyType({})


class Fault(NamedTuple):
    """One kind of fault; why it is not shown, if it is not; and, by database, why that one cannot have it or has not shown it."""

    what: str
    not_shown: str = ""
    cannot: Mapping[str, str] = NOTHING
    has_not: Mapping[str, str] = NOTHING


NO_SERVER = {"sqlite": "no server"}
NO_NETWORK = {"sqlite": "no network"}
FULL_SERVER = (
    "what the full disk of a server does to it is not in our hands; that it refuses or goes away is F10 and F11"
)

#: Where tests with the marker ``fault`` are looked for.
ROOMS = (
    "tests/faults",
    "tests/concurrency",
    "tests/live/test_hub.py",
    "tests/engine/test_drift.py",
    "tests/ground/test_codec_refusals.py",
    "tests/doors/test_rest_permissions.py",
    "tests/doors/test_bounds.py",
    "tests/fuzz",
)

FAULTS = {
    "F1": Fault("SIGKILL after the claim is committed"),
    "F2": Fault("SIGKILL before the body has done anything"),
    "F3": Fault("SIGKILL after an effect, before or within the commit of its checkpoint"),
    "F4": Fault("SIGKILL after the checkpoint is committed"),
    "F5": Fault("SIGKILL before the outcome is written"),
    "F6": Fault("SIGKILL within the commit of the outcome, and after it"),
    "F7": Fault("random SIGKILLs of workers that share the work"),
    "F8": Fault("SIGTERM and SIGINT: idle, at work, twice, during the start, to a supervisor"),
    "F9": Fault("SIGKILL of a worker whose child processes run"),
    "F10": Fault(
        "PostgreSQL stopped at once and started again under load",
        cannot=NO_SERVER,
        has_not={"mysql": "the suite has no MariaDB of its own that it may kill"},
    ),
    "F11": Fault("every connection ended by the server, and a server that is read-only for a while", cannot=NO_SERVER),
    "F12": Fault("a proxy that goes silent in the middle of a connection", cannot=NO_NETWORK),
    "F13": Fault("the answer to a commit is lost", cannot=NO_NETWORK),
    "F14": Fault(
        "PgBouncer in transaction mode between workers and PostgreSQL",
        cannot={"sqlite": "PostgreSQL only", "mysql": "PostgreSQL only"},
    ),
    "F15": Fault("SIGSTOP past the lease, takeover, SIGCONT"),
    "F16": Fault("a task holds Python's lock for longer than the lease"),
    "F17": Fault("clocks of workers that are minutes and hours wrong"),
    "F18": Fault(
        "the disk of the database is full for a while", has_not={"postgresql": FULL_SERVER, "mysql": FULL_SERVER}
    ),
    "F19": Fault("several processes write one database with Django's own options"),
    "F20": Fault("operators, sweeps and outcomes lock the same rows in opposite order"),
    "F21": Fault(
        "a database that is SERIALIZABLE or REPEATABLE READ by default", cannot={"sqlite": "always serializable"}
    ),
    "F22": Fault("a snapshot held open under load, for a minute (`--nightly`) or as long as `--held SECONDS` says"),
    "F23": Fault("a task leaves a transaction open, autocommit off or its connection broken"),
    "F24": Fault("a WebSocket client that does not read"),
    "F25": Fault("a storm of WebSocket clients on one process: 30, and 1,000 nightly"),
    "F26": Fault("Redis, the channel layer, stopped during a burst"),
    "F27": Fault("many enqueues of one dedupe key at once"),
    "F28": Fault("many enqueues that supersede each other"),
    "F29": Fault("workers killed while they hold the places of a limited key"),
    "F30": Fault("schedulers killed between any two statements of a tick, under one name"),
    "F31": Fault("a workflow whose code was changed between two attempts"),
    "F32": Fault("a task that this worker does not know"),
    "F33": Fault("tables altered under load"),
    "F34": Fault("values that are too large, too deep or hold themselves"),
    "F35": Fault("values and exceptions that cannot be stored, and exits of every kind"),
    "F36": Fault("hostile requests and frames: hundreds on each push, as many as `python -m tests.fuzz` is asked for"),
    "F37": Fault("every role at every endpoint, also of another tenant"),
    "F38": Fault(
        "a soak",
        cannot={"postgresql": "see below"},
        has_not={"sqlite": "the storm is played on PostgreSQL", "mysql": "the storm is played on PostgreSQL"},
    ),
}
