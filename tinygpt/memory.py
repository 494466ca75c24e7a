"""What becomes of an array's memory when the array is gone."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # their numbers in malloc.h


def keep_freed_memory() -> None:
    """Tell the C library to keep up to 1 GiB of what is freed, since the next step asks for as much again.

    By default it gives the memory of a step's arrays back to the system, which then has to clear every page anew: of a
    step of GPT with 4 layers and width 128 that is up to a third of the time. Only glibc, Linux's usual one, can be
    told; elsewhere this does nothing.

    Source: mallopt(3). https://man7.org/linux/man-pages/man3/mallopt.3.html
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 1 << 25)  # bytes of an array that is the system's own affair; no more is accepted
        mallopt(_M_TRIM_THRESHOLD, 1 << 30)
