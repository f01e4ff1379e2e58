"""Works on all cores, in order and in bounded memory."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parallel_map(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Like `map`, on a thread for each core, at most two results a core ahead of the reader.

    If the reader stops early or a call raises an error, calls that have begun are finished, and no others begin.
    """
    items = iter(items)
    first = list(islice(items, 2))
    if len(first) < 2:  # a thread for one item would take longer to start than it saves
        yield from map(function, first)
        return
    workers = cores()
    pending: deque[Future[R]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in chain(first, items):
                pending.append(pool.submit(function, item))
                if len(pending) > 2 * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in reversed(pending):  # from the end, so that the calls that have begun leave no gaps
                future.cancel()
