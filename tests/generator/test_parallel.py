import os
import threading
import time
from collections.abc import Iterator

import pytest

from face_generation.generator.parallel import cores, parallel_map


def test_results_come_in_order() -> None:
    def slow_at_first(number: int) -> int:
        time.sleep(0.02 if number < 3 else 0)
        return number * number

    assert list(parallel_map(slow_at_first, range(50))) == [number * number for number in range(50)]


def test_works_on_all_cores_at_once() -> None:
    together = threading.Barrier(cores())

    assert len(list(parallel_map(lambda _: together.wait(timeout=60), range(cores())))) == cores()


def test_reads_only_a_little_ahead() -> None:
    taken = 0

    def endless() -> Iterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    results = parallel_map(lambda number: number, endless())

    for expected in range(1, 101):
        assert next(results) == expected
        assert taken <= expected + 2 * cores()


def test_an_error_ends_the_work() -> None:
    done = []

    def work(number: int) -> int:
        if number == 5:
            raise ValueError("five")
        done.append(number)
        return number

    results = parallel_map(work, range(10_000))

    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="five"):
        next(results)
    assert len(done) <= 6 + 2 * cores()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot bind a process to a core")
def test_cores_are_those_of_the_process() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert cores() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert cores() == len(before)
