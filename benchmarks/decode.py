"""Times a bundle's decoder, and its encoder if it has one: one face on one core, and many faces on all cores.

python benchmarks/decode.py
python benchmarks/decode.py --bundle path/to/bundle
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

from face_generation.generator import Generator
from face_generation.generator.parallel import cores

TARGET = 10  # ms, one face on one core of an idle machine
MANY = 64  # faces


def milliseconds(function: Callable[[], object], runs: int) -> list[float]:
    function()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        function()
        times.append(1000 * (time.perf_counter() - start))
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", default="vae", help="name, folder or MLflow URI of a bundle (default: vae)")
    arguments = parser.parse_args()
    generator = Generator.load(arguments.bundle)
    latents = generator.latents(MANY, truncation=1.0)
    images = generator.decode(latents)

    # Each image is decoded by itself on one thread, so one image uses one core.
    rows: list[tuple[str, int, Callable[[], object]]] = [
        ("decode 1 on one core", 1, lambda: generator.decode(latents[:1])),
        (f"decode {MANY} on all cores", MANY, lambda: generator.decode(latents)),
    ]
    if generator.bundle.has_encoder:
        rows += [
            ("encode 1 on one core", 1, lambda: generator.encode(images[:1])),
            (f"encode {MANY} on all cores", MANY, lambda: generator.encode(images)),
        ]
    print(f"{cores()} cores, load {os.getloadavg()[0]:.1f}, target {TARGET} ms for one face on one core")
    print(f"{'':24}{'median ms':>11}{'best ms':>10}{'faces/s':>10}")
    for name, n, function in rows:
        times = milliseconds(function, runs=100 if n == 1 else 5)
        median = statistics.median(times)
        print(f"{name:24}{median:11.1f}{min(times):10.1f}{n / median * 1000:10.0f}")


if __name__ == "__main__":
    main()
