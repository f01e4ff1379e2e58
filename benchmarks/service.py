"""Times the service and its floor, by turns. The floor is drawing and encoding pictures alone, on all cores.

The server is a separate process, and the clients run on the same machine. Their CPU time is shown, too. If it is not
small beside the server's, compare CPU times and not rates. Linux only.

python benchmarks/service.py
python benchmarks/service.py --overload    # ten times the load that it can carry, for a minute
"""

import argparse
import asyncio
import math
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import uvloop

from face_generation.generator import Generator, pictures
from face_generation.generator.parallel import cores, parallel_map

TARGET = 0.30  # largest share of the HTTP layer in the CPU time of a face
CLIENTS = 16  # enough that every core always has a face to draw
BATCH = 64  # faces
FLOOR_FACES = 200  # faces in a turn of the floor
TIMEOUT = 60.0  # seconds after which a request has failed
OVERLOAD = 10  # times the load that the service can carry
RECOVERY = 1.0  # longest time until latency is normal after an overload, in seconds
NORMAL = 2.0  # latency is normal below this multiple of the median before
SEEDS = count()  # each face has a new seed, so that nothing has been drawn before

Request = Callable[[], bytes]


@dataclass
class Load:
    """What clients saw, and the CPU time that it took."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)  # in seconds, of requests that were answered as expected
    statuses: Counter[int | str] = field(default_factory=Counter)
    server_cpu: float = 0.0  # seconds
    client_cpu: float = 0.0  # seconds
    recovery: float = 0.0  # seconds from the end of a flood until latency was normal again

    def __iadd__(self, other: "Load") -> "Load":
        self.seconds += other.seconds
        self.latencies += other.latencies
        self.statuses += other.statuses
        self.server_cpu += other.server_cpu
        self.client_cpu += other.client_cpu
        return self


class Connection:
    """An HTTP connection that stays open. It knows enough of HTTP/1.1 for answers with a Content-Length."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> "Connection":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, request: bytes) -> int:
        """Sends a request, reads the whole answer, and returns its status."""
        self.writer.write(request)
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        _, found, length = head.partition(b"\r\ncontent-length:")
        if found:
            await self.reader.readexactly(int(length.split(b"\r\n", 1)[0]))
        return int(head.split(b" ", 2)[1])


def get(path: str, **headers: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def post(path: str, body: str) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def single() -> bytes:
    return get(f"/api/v1/vae/faces/{next(SEEDS)}.png")


def batch() -> bytes:
    first, *_ = (next(SEEDS) for _ in range(BATCH))
    return post("/api/v1/vae/faces", f'{{"faces": [{{"seed": {first}, "count": {BATCH}}}], "as": "zip"}}')


@contextmanager
def serving(options: list[str], group: Path | None = None) -> Iterator[tuple[int, int]]:
    """Runs a server, in a control group if one is given. Yields its process id and port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "face_generation.serve", f"port={port}", "bundles=[vae]", *options]
    join = (lambda: (group / "cgroup.procs").write_text("0")) if group else None
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=join)
    try:
        while True:
            try:
                urlopen(f"http://127.0.0.1:{port}/ready", timeout=TIMEOUT).close()
                break
            except OSError:
                if server.poll() is not None:
                    sys.exit("error: the server does not start; try `python -m face_generation.serve`")
                time.sleep(0.05)
        yield server.pid, port
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()


def cpu_seconds(process: int) -> float:
    """The CPU time of a process, user and system."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(process: int) -> float:
    """Resident memory of a process, MB."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


async def attempt(connection: Connection, request: bytes, expected: int, load: Load) -> bool:
    """Sends a request and records the outcome. Returns whether the connection can be used again."""
    start = time.perf_counter()
    try:
        status: int | str = await asyncio.wait_for(connection.ask(request), TIMEOUT)
    except (OSError, EOFError, TimeoutError) as error:
        status = type(error).__name__
    if status == expected:
        load.latencies.append(time.perf_counter() - start)
    load.statuses[status] += 1
    return isinstance(status, int)


async def closed_loop(port: int, clients: int, seconds: float, request: Request, expected: int) -> Load:
    """Runs clients that each send the next request as soon as the last one is answered."""
    load = Load()
    start = time.perf_counter()

    async def client() -> None:
        connection = await Connection.open(port)
        while time.perf_counter() - start < seconds:
            if not await attempt(connection, request(), expected, load):
                connection = await Connection.open(port)
        connection.writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    load.seconds = time.perf_counter() - start
    return load


async def flood(port: int, rate: float, seconds: float, normal: float, watch: Callable[[], None]) -> Load:
    """Begins `rate` requests per second, whether or not earlier ones are answered, as many people would.

    It calls `watch` each second. After the last request, one client asks until it is answered within `normal` seconds.
    """
    load = Load()
    idle: list[Connection] = []
    running: set[asyncio.Task[None]] = set()

    async def one() -> None:
        while idle and idle[-1].reader.at_eof():
            idle.pop()
        try:
            connection = idle.pop() if idle else await Connection.open(port)
        except OSError as error:
            load.statuses[type(error).__name__] += 1
            return
        if await attempt(connection, single(), 200, load):
            idle.append(connection)

    start = time.perf_counter()
    begun = elapsed = 0
    while (now := time.perf_counter() - start) < seconds:
        while begun < now * rate:
            task = asyncio.create_task(one())
            running.add(task)
            task.add_done_callback(running.discard)
            begun += 1
        if now > elapsed:
            watch()
            elapsed += 1
        await asyncio.sleep(0.002)
    load.seconds = time.perf_counter() - start
    load.recovery = await recovery(port, normal)
    await asyncio.gather(*running)
    return load


async def recovery(port: int, normal: float) -> float:
    """Seconds until a client is answered within `normal` seconds; infinity if that takes too long."""
    start = time.perf_counter()
    while time.perf_counter() - start < TIMEOUT:
        alone = Load()
        await attempt(await Connection.open(port), single(), 200, alone)
        if alone.latencies and alone.latencies[0] < normal:
            return time.perf_counter() - start
        await asyncio.sleep(0.01)
    return math.inf


def measure(process: int, run: Callable[[], Load]) -> Load:
    """Runs a load and adds its CPU times."""
    server, client = cpu_seconds(process), time.process_time()
    load = run()
    load.server_cpu, load.client_cpu = cpu_seconds(process) - server, time.process_time() - client
    return load


def floor(generator: Generator) -> Load:
    """Draws and encodes faces in this process, on all cores."""
    cpu, start = time.process_time(), time.perf_counter()

    def draw(seed: int) -> float:
        begin = time.perf_counter()
        pictures.encode(generator.sample(1, seed)[0], "png")
        return time.perf_counter() - begin

    latencies = list(parallel_map(draw, [next(SEEDS) for _ in range(FLOOR_FACES)]))
    return Load(time.perf_counter() - start, latencies, Counter({200: len(latencies)}), time.process_time() - cpu)


def row(name: str, load: Load, faces: int = 1) -> None:
    n = len(load.latencies)
    p50, p95, p99 = (1000 * value for value in np.percentile(load.latencies, [50, 95, 99]))
    costs = (1000 * cpu / n for cpu in (load.server_cpu, load.client_cpu))
    columns = (n / load.seconds, n * faces / load.seconds if faces else 0, p50, p95, p99, *costs)
    print(f"{name:28}" + "".join(f"{value:>11,.2f}" for value in columns), flush=True)


def compare(options: list[str], rounds: int, seconds: float) -> None:
    """Prints the table of rates, latencies and CPU times, and the share of the HTTP layer."""
    generator = Generator.load("vae")
    floor(generator)
    with serving(options) as (process, port):
        with urlopen(f"http://127.0.0.1:{port}/api/v1/vae/faces/0.png") as answer:
            cached = get("/api/v1/vae/faces/0.png", **{"If-None-Match": answer.headers["ETag"]})
        kinds: dict[str, tuple[int, Request, int]] = {
            "one face, 1 client": (1, single, 200),
            f"one face, {CLIENTS} clients": (CLIENTS, single, 200),
            f"cached (304), {CLIENTS} clients": (CLIENTS, lambda: cached, 304),
            f"{BATCH} faces (zip), 2 clients": (2, batch, 200),
        }
        loads = {name: Load() for name in ("floor", *kinds)}
        for _ in range(rounds):
            loads["floor"] += floor(generator)
            for name, (clients, request, expected) in kinds.items():
                run = closed_loop(port, clients, seconds, request, expected)
                loads[name] += measure(process, lambda run=run: uvloop.run(run))  # type: ignore[misc]

    columns = ("requests/s", "faces/s", "p50 ms", "p95 ms", "p99 ms", "CPU ms", "client ms")
    print(f"{'':28}" + "".join(f"{column:>11}" for column in columns))
    for name, load in loads.items():
        row(name, load, faces=0 if "304" in name else BATCH if "zip" in name else 1)
    unexpected = {name: load.statuses for name, load in loads.items() if load.statuses.total() != len(load.latencies)}
    if unexpected:
        print(f"answers that were not expected: {unexpected}")

    alone, served = loads["floor"], loads[f"one face, {CLIENTS} clients"]
    cpu = 1 - (alone.server_cpu / len(alone.latencies)) / (served.server_cpu / len(served.latencies))
    rate = 1 - (len(served.latencies) / served.seconds) / (len(alone.latencies) / alone.seconds)
    print(f"share of the HTTP layer at saturation: {cpu:.1%} of CPU time, {rate:.1%} of the rate; target {TARGET:.0%}")


def overload(options: list[str], seconds: float) -> None:
    """Prints what happens under ten times the load that the service can carry, and how soon it recovers."""
    with serving(options) as (process, port):
        carried = uvloop.run(closed_loop(port, CLIENTS, 5, single, 200))
        capacity = len(carried.latencies) / carried.seconds
        before = statistics.median(uvloop.run(closed_loop(port, 1, 2, single, 200)).latencies)
        print(f"it can carry {capacity:.0f} requests/s; the median latency without load is {1000 * before:.1f} ms")

        sizes: list[float] = []
        rate = OVERLOAD * capacity
        loop = flood(port, rate, seconds, NORMAL * before, lambda: sizes.append(memory(process)))
        load = measure(process, lambda: uvloop.run(loop))
        sizes.append(memory(process))

    begun, answered, refused = load.statuses.total(), load.statuses[200], load.statuses[503]
    failed = load.statuses - Counter({200: answered, 503: refused})
    p50, p99 = np.percentile(load.latencies, [50, 99])
    print(f"{begun:,} requests in {load.seconds:.0f} s, {begun / load.seconds:,.0f} a second ({rate:,.0f} were wanted)")
    print(f"answered {answered:,} ({answered / load.seconds:.0f} a second; median {p50:.2f} s, p99 {p99:.2f} s)")
    print(f"refused  {refused:,}\nfailed   {failed.total():,} {dict(failed) or ''}")
    print(f"CPU time of the server {load.server_cpu:.0f} s, of the clients {load.client_cpu:.0f} s")
    thirds = [np.mean(part) for part in np.array_split(sizes[:-1], 3)]
    print("memory, MB: " + ", ".join(f"{size:.0f}" for size in (sizes[0], *thirds, sizes[-1])), end="")
    print(" (at the start, mean of each third, after)")
    print(f"back to normal {load.recovery:.2f} s after the last request began; target {RECOVERY:g} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("options", nargs="*", help="options of the server, such as workers=1 limits.queue=64")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each kind of load (default: 5)")
    parser.add_argument("--seconds", type=float, help="length of a turn (default: 3) or of the overload (default: 60)")
    parser.add_argument("--overload", action="store_true", help="send ten times the load that the service can carry")
    arguments = parser.parse_args()

    print(f"{cores()} cores, load {os.getloadavg()[0]:.1f}")
    if arguments.overload:
        overload(arguments.options, arguments.seconds or 60)
    else:
        compare(arguments.options, arguments.rounds, arguments.seconds or 3)


if __name__ == "__main__":
    main()
