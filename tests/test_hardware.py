"""What is set once for a process is tried in a process of its own."""

import platform
import subprocess
import sys

import pytest

COUNT_PAGE_FAULTS = """
import resource
import torch
from face_generation.hardware import keep_memory

def steps() -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        torch.ones(10_000_000)  # 40 MB: above what glibc by itself would ever keep
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(steps())
keep_memory()
for _ in range(3):
    steps()  # the allocator fills
print(steps())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library's allocator is left as it is")
def test_kept_memory_is_not_mapped_anew_in_every_step() -> None:
    output = subprocess.run([sys.executable, "-c", COUNT_PAGE_FAULTS], check=True, capture_output=True, text=True)
    without, kept = map(int, output.stdout.split())

    assert kept < without / 50
