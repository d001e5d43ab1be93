"""Memory that a step frees is kept for the next one, where the C library would give it back to the system.

Every step on a CPU makes and frees the same maps, megabytes each. By default glibc maps such a block anew or trims its
heap after it, and the kernel then zeroes page after page at first touch: 84,000 page faults in a step of `model3` at
256x128, batch 8, a quarter of its time. Kept, there are none. The process holds what its largest step needed, which
its next step needs again.
"""

import ctypes
import os

# malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_LARGEST = 2**31 - 1  # an int [bytes]
_OWN = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")


def keep_freed_memory() -> bool:
    """Ask glibc to keep freed memory, in this process from now on. Returns: whether it does.

    Not where the environment chooses already (`MALLOC_…`, `GLIBC_TUNABLES`, an allocator in `LD_PRELOAD`), nor where
    the C library is another one.
    """
    if any(name.startswith(_OWN) for name in os.environ):
        return False
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018  # musl has a mallopt that does nothing
        mallopt = library.mallopt
    except (OSError, TypeError, AttributeError):  # TypeError: Windows wants a name
        return False
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, _LARGEST))
