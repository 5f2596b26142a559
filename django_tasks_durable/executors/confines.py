"""What a child process is kept within: its environment, its resources, and the life of its parent."""

from __future__ import annotations

import ctypes
import math
import os
import resource
import signal
import sys
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

# What a program needs to run at all. Whatever else the project's settings read has to be listed in child_environment.
ALWAYS_PASSED = (
    "PATH", "LANG", "LANGUAGE", "LC_*", "TZ", "TMPDIR", "HOME", "USER", "LOGNAME", "VIRTUAL_ENV", "LD_LIBRARY_PATH",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "DJANGO_SETTINGS_MODULE", "DJANGO_CONFIGURATION", "PYTHON*", "COV_CORE_*",
)  # fmt: skip
_PR_SET_PDEATHSIG = 1
_MEGABYTE = 1024 * 1024


def passed_environment(everything: Mapping[str, str], listed: Sequence[str]) -> dict[str, str]:
    """Return the variables that a child gets: what every program needs, and what the settings list."""
    wanted = (*ALWAYS_PASSED, *listed)
    return {name: value for name, value in everything.items() if any(fnmatchcase(name, pattern) for pattern in wanted)}


def die_with(parent: int) -> None:
    """Let the system kill this process when the thread that started it is gone, where the system can do that."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it had gone before that was asked for
        os._exit(1)


def limit_memory(megabytes: int | None) -> None:
    """Let allocations fail past so much address space, and leave no core file behind."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if megabytes is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (megabytes * _MEGABYTE, hard))


def limit_cpu(seconds: int | None) -> None:
    """Let the system kill this process (SIGXCPU) once it has used so much more processor time than by now."""
    if seconds is None:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(used.ru_utime + used.ru_stime) + seconds, hard))


def resident_megabytes() -> float:
    """Return how much memory this process holds now; where the system does not tell, the most that it ever held."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (_MEGABYTE if sys.platform == "darwin" else 1024)
    return pages * resource.getpagesize() / _MEGABYTE


def processors() -> int:
    """Return how many processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1
