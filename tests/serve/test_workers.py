import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress

import numpy as np
import pytest

from face_generation.serve.workers import Refusal, Workers


class Gate:
    """Jobs that do not end before the gate is opened, and what was begun."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.begun: list[str] = []

    def jobs(self, name: str, n: int) -> list[Callable[[], str]]:
        def job(number: int) -> str:
            self.begun.append(f"{name}{number}")
            assert self.open.wait(60)
            return f"{name}{number}"

        return [lambda number=number: job(number) for number in range(n)]


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()


async def begun(gate: Gate, n: int) -> None:
    while len(gate.begun) < n:
        await asyncio.sleep(0.001)


def test_results_are_in_order_and_finished_once() -> None:
    async def main() -> None:
        workers = Workers(threads=4, capacity=100)
        jobs = [lambda number=number: number for number in range(50)]
        assert await workers.run(jobs, list) == list(range(50))
        assert await workers.run(jobs, sum) == sum(range(50))
        assert workers.idle
        workers.close()

    asyncio.run(main())


def test_requests_take_turns_and_never_more_than_fit(gate: Gate) -> None:
    async def main() -> None:
        workers = Workers(threads=1, capacity=5)
        first = asyncio.create_task(workers.run(gate.jobs("a", 3), list))
        await begun(gate, 1)
        second = asyncio.create_task(workers.run(gate.jobs("b", 3), list))
        await asyncio.sleep(0)

        assert (workers.running, workers.waiting, workers.free_places) == (1, 5, 0)
        with pytest.raises(Refusal, match="5 faces wait to be drawn, and 1 more do not fit") as refusal:
            await workers.run(gate.jobs("c", 1), list)
        assert refusal.value.retry_after >= 1

        gate.open.set()
        assert await first == ["a0", "a1", "a2"]
        assert await second == ["b0", "b1", "b2"]
        assert gate.begun == ["a0", "a1", "b0", "a2", "b1", "b2"]
        workers.close()

    asyncio.run(main())


def test_one_face_waits_for_one_of_each_request_before_it(gate: Gate) -> None:
    async def main() -> None:
        workers = Workers(threads=1, capacity=300)
        large = [asyncio.create_task(workers.run(gate.jobs(name, 64), list)) for name in "abc"]
        await begun(gate, 1)
        small = asyncio.create_task(workers.run(gate.jobs("small", 1), list))
        await asyncio.sleep(0)
        gate.open.set()
        await small

        assert gate.begun.index("small0") <= 4
        await asyncio.gather(*large)
        workers.close()

    asyncio.run(main())


def test_who_is_cancelled_takes_along_what_has_not_begun(gate: Gate) -> None:
    async def main() -> None:
        workers = Workers(threads=1, capacity=10)
        first = asyncio.create_task(workers.run(gate.jobs("a", 5), list))
        await begun(gate, 1)
        second = asyncio.create_task(workers.run(gate.jobs("b", 2), list))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first

        assert (workers.running, workers.waiting) == (1, 2)
        gate.open.set()
        assert await second == ["b0", "b1"]
        assert gate.begun == ["a0", "b0", "b1"]
        workers.close()

    asyncio.run(main())


@pytest.mark.parametrize("where", ["job", "finish"])
def test_errors_reach_the_caller_and_spare_the_others(where: str) -> None:
    def fail(*_: object) -> None:
        raise ValueError("broken")

    async def main() -> None:
        workers = Workers(threads=2, capacity=10)
        with pytest.raises(ValueError, match="broken"):
            await workers.run([fail] * 5 if where == "job" else [int] * 5, fail if where == "finish" else list)
        assert await workers.run([int] * 5, list) == [0] * 5
        while not workers.idle:
            await asyncio.sleep(0.001)
        workers.close()

    asyncio.run(main())


def test_what_a_failed_job_held_goes_with_its_error() -> None:
    async def failed(workers: Workers) -> weakref.ref:
        photo = np.zeros(3)

        def read() -> None:
            raise ValueError(len(photo))

        with suppress(ValueError):
            await workers.run([read], list)
        return weakref.ref(photo)

    async def main() -> weakref.ref:
        workers = Workers(threads=1, capacity=1)
        photo = await failed(workers)
        workers.close()
        return photo

    gc.disable()  # it would let go of it, but nobody knows when
    try:
        assert asyncio.run(main())() is None
    finally:
        gc.enable()


def test_stopped_workers_end_what_they_have(gate: Gate) -> None:
    async def main() -> None:
        workers = Workers(threads=1, capacity=10)
        first = asyncio.create_task(workers.run(gate.jobs("a", 3), list))
        await begun(gate, 1)
        workers.stop()

        with pytest.raises(Refusal, match="the service is stopping"):
            await workers.run(gate.jobs("b", 1), list)
        gate.open.set()
        assert await first == ["a0", "a1", "a2"]
        workers.close()

    asyncio.run(main())
