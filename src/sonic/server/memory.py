"""Memory of models that are gone."""

from __future__ import annotations

import ctypes
import gc


def give_back() -> None:
    """Return what has been freed to the system.

    glibc keeps freed memory that lies below some that is in use; a server that loads one model after another would
    grow by a part of each.
    """
    gc.collect()
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library, or none that can be asked
        return
    trim(0)
