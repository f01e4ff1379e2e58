"""What this machine does well: the precision to train in, and an allocator that keeps its memory."""

import ctypes
import platform
import time
from functools import cache

import torch

SIDE, PRODUCTS = 1024, 5  # of the matrix products that are timed
FASTER = 1.1  # how much faster bf16 must be to be worth its rounding

# glibc's malloc.h
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8


@cache
def best_precision() -> str:
    """Lightning's name for the fastest precision that trains well here: bf16 where this machine is faster in it, else
    float32.

    A GPU that has bf16 is faster in it. Some processors that have it compute four times as much a second in it, others
    half as much, so matrix products are timed in both, which takes a fraction of a second.
    """
    if torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    # Processors with AMX have it too. The public torch.cpu.get_capabilities is younger than torch 2.9.
    if not torch.cpu._is_avx512_bf16_supported():
        return "32-true"
    return "bf16-mixed" if FASTER * _seconds(torch.bfloat16) < _seconds(torch.float32) else "32-true"


def _seconds(dtype: torch.dtype) -> float:
    """The least time of some products of matrices of this type."""
    matrix = torch.ones(SIDE, SIDE, dtype=dtype)
    matrix @ matrix  # the first one chooses how
    times = []
    for _ in range(PRODUCTS):
        start = time.perf_counter()
        matrix @ matrix
        times.append(time.perf_counter() - start)
    return min(times)


def keep_memory() -> None:
    """Makes glibc's allocator keep freed memory for the next step instead of returning it to the system.

    By default each large tensor is mapped afresh, and touching its new pages costs more than many an operation on it:
    training on two cores is 11 % faster without (docs/benchmarks.md). Does nothing where the C library is another one.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_ARENA_MAX, 1)  # the backward pass runs in a thread of its own and takes from the same heap
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, -1)
