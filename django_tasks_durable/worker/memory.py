"""What a worker process holds before its first task."""

from __future__ import annotations

import ctypes
import gc
import sys


def settle() -> None:
    """Give back what the start has left over, and keep the garbage collector from what stays.

    What the imports left is never garbage, and a claimed run is several objects: with the defaults the collector would walk
    everything a few times for each batch. A C library that cannot give memory back is left alone.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)
