"""Times `python -m face_generation.inference` as a user does: the whole process, from start to exit.

python benchmarks/inference.py
python benchmarks/inference.py --bundle path/to/bundle --runs 31
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TARGET = 0.8  # seconds, on an idle machine with a warm disk


def measure(command: list[str], runs: int, folder: str) -> tuple[list[float], float]:
    """Wall-clock seconds of each run, and the mean CPU seconds."""
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)  # warms the disk
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - start)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", default="vae", help="name or folder of a bundle (default: vae)")
    parser.add_argument("--runs", type=int, default=15, help="timed runs of each command (default: 15)")
    arguments = parser.parse_args()
    bundle = str(Path(arguments.bundle).resolve()) if Path(arguments.bundle).is_dir() else arguments.bundle

    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {arguments.runs} runs, target {TARGET} s")
    print(f"{'':24}{'median s':>10}{'best s':>10}{'CPU s':>10}")
    with tempfile.TemporaryDirectory() as folder:
        for name, options in [
            ("python", ["-c", ""]),
            ("python and imports", ["-c", "import face_generation.inference"]),
            ("one face", ["-m", "face_generation.inference", f"bundle={bundle}"]),
        ]:
            seconds, cpu = measure([sys.executable, *options], arguments.runs, folder)
            print(f"{name:24}{statistics.median(seconds):10.3f}{min(seconds):10.3f}{cpu:10.3f}")


if __name__ == "__main__":
    main()
