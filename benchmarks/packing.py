"""Times packing: images per second from the archive to the arrays, and the most memory that it took.

python benchmarks/packing.py
python benchmarks/packing.py --data data --size 256

Without --data, synthetic faces in CelebA's format are packed.
"""

import argparse
import os
import resource
import statistics
import tempfile
import time
from pathlib import Path

from face_generation.data.packing import IMAGE_SIZE, pack
from face_generation.data.synthetic import write_synthetic_faces
from face_generation.errors import exit_on_user_error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="what to pack (default: synthetic ones)")
    parser.add_argument("--count", type=int, default=5000, help="faces to draw (default: %(default)s)")
    parser.add_argument("--size", type=int, default=IMAGE_SIZE, help="pixels (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="(default: %(default)s)")
    arguments = parser.parse_args()

    rates = []
    with tempfile.TemporaryDirectory() as temporary:
        data = arguments.data or Path(temporary, "data")
        if not arguments.data:
            write_synthetic_faces(data, arguments.count)
        for round_number in range(arguments.rounds):
            start = time.perf_counter()
            summary, _ = pack(data, Path(temporary, str(round_number)), size=arguments.size)
            rates.append(sum(summary.counts.values()) / (time.perf_counter() - start))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {sum(summary.counts.values()):,} images at "
        f"{arguments.size}×{arguments.size}, {arguments.rounds} rounds: "
        f"median {statistics.median(rates):,.0f} images/s, best {max(rates):,.0f}; at most {memory:,.0f} MB"
    )


if __name__ == "__main__":
    with exit_on_user_error():
        main()
