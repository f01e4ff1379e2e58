"""Settings that suit this machine: the precision to train in, and an allocator that keeps its memory."""

import ctypes
import platform
import time
from functools import cache

import torch

SIDE, PRODUCTS = 1024, 5  # size and number of the matrix products that are timed
FASTER = 1.1  # how much faster bf16 must be to be worth its rounding

# glibc's malloc.h
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8


def device() -> str:
    """The device to compute on: the GPU if there is one, otherwise the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"


@cache
def best_precision() -> str:
    """Lightning's name for the precision to train in: bf16 if this machine is faster with it, otherwise float32.

    A GPU that has bf16 is faster with it. Some processors that have it are four times as fast, and others half as fast.
    So matrix products are timed in both, which takes a fraction of a second.
    """
    if torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    # Processors with AMX have AVX-512 in bf16, too. The public torch.cpu.get_capabilities came after torch 2.9.
    if not torch.cpu._is_avx512_bf16_supported():
        return "32-true"
    return "bf16-mixed" if FASTER * _seconds(torch.bfloat16) < _seconds(torch.float32) else "32-true"


def _seconds(dtype: torch.dtype) -> float:
    """The shortest time of some matrix products in this type, in seconds."""
    matrix = torch.ones(SIDE, SIDE, dtype=dtype)
    matrix @ matrix  # the first product chooses a kernel
    times = []
    for _ in range(PRODUCTS):
        start = time.perf_counter()
        matrix @ matrix
        times.append(time.perf_counter() - start)
    return min(times)


def keep_memory() -> None:
    """Makes glibc's allocator keep freed memory for the next step instead of returning it to the system.

    By default each large tensor gets new pages, and touching them costs more than many operations on the tensor.
    Training on two cores is 11 % faster if memory is kept (docs/benchmarks.md). With other C libraries this does
    nothing.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_ARENA_MAX, 1)  # so that the backward pass, which runs in its own thread, uses the same heap
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, -1)
