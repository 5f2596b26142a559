"""The faults, each with what is done to the system, and where a fault that the suite cannot do is owned up to."""

from __future__ import annotations

from typing import NamedTuple


class Fault(NamedTuple):
    """One kind of fault, and why it is not shown, if it is not."""

    what: str
    not_shown: str = ""


#: Where tests with the marker ``fault`` are looked for.
ROOMS = (
    "tests/faults",
    "tests/concurrency",
    "tests/live/test_hub.py",
    "tests/engine/test_drift.py",
    "tests/ground/test_codec_refusals.py",
    "tests/doors/test_rest_permissions.py",
    "tests/fuzz/test_rest.py",
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
    "F10": Fault("PostgreSQL stopped at once and started again under load"),
    "F11": Fault("every connection ended by the server, and a server that is read-only for a while"),
    "F12": Fault("a proxy that goes silent in the middle of a connection"),
    "F13": Fault("the answer to a commit is lost"),
    "F14": Fault("PgBouncer in transaction mode between workers and PostgreSQL"),
    "F15": Fault("SIGSTOP past the lease, takeover, SIGCONT"),
    "F16": Fault("a task holds Python's lock for longer than the lease"),
    "F17": Fault("clocks of workers that are minutes and hours wrong"),
    "F18": Fault("the disk of the database is full for a while"),
    "F19": Fault("several processes write one SQLite with Django's own options"),
    "F20": Fault("operators, sweeps and outcomes lock the same rows in opposite order"),
    "F21": Fault("a database that is SERIALIZABLE or REPEATABLE READ by default"),
    "F22": Fault("a snapshot held open for ten minutes", "takes ten minutes of load and a quiet machine"),
    "F23": Fault("a task leaves a transaction open, autocommit off or its connection broken"),
    "F24": Fault("a WebSocket client that does not read"),
    "F25": Fault("a storm of WebSocket clients", "40 clients on each push; 1,000 sockets need a machine of their own"),
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
    "F36": Fault("hostile requests", "python -m tests.fuzz plays them; they are not counted here"),
    "F37": Fault("every role at every endpoint, also of another tenant"),
    "F38": Fault("a soak", "python -m tests.faults --soak MINUTES; 24 hours were never played"),
}
