"""Memory of photos goes back to the system when they are read."""

import ctypes
import platform

M_MMAP_THRESHOLD = -3  # glibc's names
LARGE = 1_000_000  # bytes


def give_back() -> None:
    """Makes glibc's allocator return large blocks as soon as they are freed.

    Otherwise it learns from the first of them to keep all later ones: after a minute of large photos a process kept
    400 MB. Drawing takes no blocks of that size. Does nothing where the C library is another one.
    """
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE)
