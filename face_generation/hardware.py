"""What this machine does well: the precision to train in, and an allocator that keeps its memory."""

import ctypes
import platform

import torch

# glibc's malloc.h
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8


def best_precision() -> str:
    """Lightning's name for the fastest precision that trains well here: bf16 where the processor has instructions for
    it, else float32 (elsewhere bf16 is emulated, and slower)."""
    if torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    # Processors with AMX have it too. The public torch.cpu.get_capabilities is younger than torch 2.9.
    return "bf16-mixed" if torch.cpu._is_avx512_bf16_supported() else "32-true"


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
