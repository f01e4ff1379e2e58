"""Sends the service the worst photos that we know, several at a time, while other clients ask for faces. Linux only.

The process must not need more memory than a small container has, must give it back afterwards, and must go on drawing.
As root, this runs it in a control group of that size, which kills the process if it takes more. Otherwise, resident
memory is compared.

python benchmarks/photos.py
python benchmarks/photos.py --seconds 10 workers=2
"""

import argparse
import asyncio
import io
import struct
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image
from service import TIMEOUT, Connection, Load, closed_loop, memory, serving, single

from face_generation.generator import Generator

LIMIT = 1024  # MiB that the process may have at any time, as in compose.yaml and deploy/kubernetes.yaml
GROUPS = Path("/sys/fs/cgroup")
BACK = 1.1  # largest memory afterwards, relative to the memory before
SLOWER = 3.0  # largest 99th percentile of single faces, relative to that without photos
SENDERS = 8  # clients that send photos
CLIENTS = 2  # clients that ask for faces
REST = 3.0  # seconds until memory is measured

Photo = Callable[[], bytes]


def png(width: int, height: int, depth: int, colour: int, *, interlaced: bool = False, extra: bytes = b"") -> bytes:
    """A PNG of zeros."""
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    line = 1 + -(-width * depth * samples // 8)
    packer = zlib.compressobj(9)
    rows = 2048
    content = b"".join(packer.compress(bytes(line * min(rows, height - top))) for top in range(0, height, rows))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    chunks = [(b"IHDR", header), (b"IDAT", content + packer.flush()), (b"IEND", b"")]
    if colour == 3:
        chunks.insert(1, (b"PLTE", bytes(768)))
        chunks.insert(2, (b"tRNS", bytes(range(256))))
    if colour == 0:
        chunks.insert(1, (b"tRNS", b"\0\0"))
    if extra:
        chunks.insert(1, (b"iCCP", b"a\0\0" + extra))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in chunks)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def crowd() -> bytes:
    """A photo of hundreds of faces, each of which is looked at again."""
    faces = [Image.fromarray(face).resize((100, 100)) for face in Generator.load("vae").sample(32)]
    canvas = Image.new("RGB", (4000, 4000))
    for i in range(40 * 40):
        canvas.paste(faces[i % len(faces)], (i % 40 * 100, i // 40 * 100))
    return saved(canvas, "JPEG", quality=80)


WORST: dict[str, Photo] = {
    "PNG, a line of 40 million": lambda: png(1, 39_999_999, 1, 0),
    "PNG, RGBA": lambda: png(7300, 5400, 8, 6),
    "PNG, RGBA of 16 bits": lambda: png(7300, 5400, 16, 6),
    "PNG, palette with transparency": lambda: png(7300, 5400, 8, 3),
    "PNG, interlaced": lambda: png(7300, 5400, 8, 6, interlaced=True),
    "PNG, bomb for a profile": lambda: png(300, 300, 8, 2, extra=zlib.compress(bytes(300_000_000), 9)),
    "JPEG, progressive": lambda: saved(Image.new("RGB", (7000, 5500), "teal"), "JPEG", progressive=True, subsampling=0),
    "JPEG, a panorama": lambda: saved(Image.new("RGB", (32_000, 1200), "teal"), "JPEG", quality=95),
    "WebP, lossless": lambda: saved(Image.new("RGBA", (4000, 3900), (1, 2, 3, 4)), "WEBP", lossless=True, method=0),
    "JPEG, a crowd": crowd,
}


def upload(photo: bytes, query: str) -> bytes:
    part = b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a"\r\n\r\n'
    body = part + photo + b"\r\n--x--\r\n"
    head = f"POST /api/v1/vae/reconstructions?as=jpg&{query} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    head += f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def senders(port: int, requests: dict[str, bytes], seconds: float) -> dict[str, Counter[int]]:
    """Counts the statuses of answers by kind of photo. Each client sends one photo after the other."""
    statuses: dict[str, Counter[int]] = {name: Counter() for name in requests}
    end = time.perf_counter() + seconds

    async def sender(number: int) -> None:
        connection, names = await Connection.open(port), list(requests)
        while time.perf_counter() < end:
            name = names[number % len(names)]
            number += 1
            try:
                statuses[name][await asyncio.wait_for(connection.ask(requests[name]), TIMEOUT)] += 1
            except (OSError, EOFError):
                statuses[name][0] += 1
                connection = await Connection.open(port)

    await asyncio.gather(*(sender(number) for number in range(SENDERS)))
    return statuses


async def both(port: int, requests: dict[str, bytes], seconds: float) -> tuple[Load, dict[str, Counter[int]]]:
    return await asyncio.gather(closed_loop(port, CLIENTS, seconds, single, 200), senders(port, requests, seconds))


@contextmanager
def control_group() -> Iterator[Path | None]:
    """A control group with `LIMIT` of memory and no swap; `None` where this process may not make one."""
    second = (GROUPS / "cgroup.controllers").exists()
    group = (GROUPS if second else GROUPS / "memory") / "face-generation-photos"
    limits = {"memory.max": LIMIT << 20, "memory.swap.max": 0}
    if not second:
        limits = {"memory.limit_in_bytes": LIMIT << 20, "memory.memsw.limit_in_bytes": LIMIT << 20}
    try:
        group.mkdir(exist_ok=True)
        for name, value in limits.items():
            (group / name).write_text(str(value))
    except OSError as error:
        print(f"no control group ({error.strerror}); run as root for one")
        yield None
        return
    yield group
    group.rmdir()


def peak(process: int) -> float:
    """The most memory that a process ever had, MiB."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("options", nargs="*", help="of the server, such as workers=1")
    parser.add_argument("--seconds", type=float, default=60, help="(default: 60)")
    arguments = parser.parse_args()

    photos = {name: photo() for name, photo in WORST.items()}
    requests = {name: upload(photo, "align=true") for name, photo in photos.items()}
    good = upload(saved(Image.fromarray(Generator.load("vae").sample(1)[0]), "PNG"), "align=true")
    with control_group() as group, serving(arguments.options, group) as (process, port):
        asyncio.run(senders(port, {"good": good}, 2))
        alone = asyncio.run(closed_loop(port, CLIENTS, arguments.seconds / 2, single, 200))
        before = memory(process)
        beside, statuses = asyncio.run(both(port, requests, arguments.seconds))
        asyncio.run(senders(port, {"good": good}, 1))
        time.sleep(REST)
        after, most = memory(process), peak(process)

    for name, counter in statuses.items():
        answers = ", ".join(f"{count} × {status}" for status, count in sorted(counter.items()))
        print(f"{name:32} {len(photos[name]) / 1e3:>8,.0f} kB   {answers}")
    times = [np.percentile(load.latencies, [50, 99]) * 1000 for load in (alone, beside)]
    print(f"p50 and p99 of one face, ms: {times[0].round(1)} alone, {times[1].round(1)} beside photos")
    print(f"p99 is {times[1][1] / times[0][1]:.2f} times as long; target {SLOWER:g}")
    unexpected = sum(load.statuses.total() - len(load.latencies) for load in (alone, beside))
    print(f"faces that were not drawn: {unexpected}")
    print(f"memory: {before:.0f} MB before, {after:.0f} MB after ({after / before:.2f} times; target {BACK:g})")
    print(f"most memory: {most:.0f} MiB of {LIMIT}, {'in' if group else 'without'} a control group of that size")


if __name__ == "__main__":
    main()
