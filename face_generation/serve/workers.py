"""Runs jobs on a few threads behind a bounded queue. Requests take turns, so that small ones need not wait for large
ones."""

import asyncio
import math
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")
SMOOTHING = 0.05  # weight of the latest job in the average time of a job


class Refusal(Exception):
    """Work is refused, because the queue is full or the service is stopping."""

    def __init__(self, message: str, retry_after: int, *, stopping: bool = False) -> None:
        super().__init__(message)
        self.retry_after = retry_after  # seconds
        self.stopping = stopping


class _Batch(Generic[T, R]):
    """The jobs of one request. Only `begun` and `left` are used by several threads at a time."""

    def __init__(self, jobs: Sequence[Callable[[], T]], finish: Callable[[list[T]], R]) -> None:
        self.jobs = jobs
        self.finish = finish
        self.came = time.perf_counter()
        self.begun = 0
        self.left = len(jobs)
        self.results: list[Any] = [None] * len(jobs)
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[R] = self.loop.create_future()

    def deliver(self, result: Any, error: BaseException | None) -> None:
        if self.future.done():  # the caller does not wait any more
            return
        if error is None:
            self.future.set_result(result)
        else:
            self.future.set_exception(error)


class Workers:
    """Runs jobs on `threads` threads. At most `capacity` jobs wait.

    A request is accepted or refused before any of its jobs begins. Requests take turns, a job each. So a single face
    waits for one job of each request before it, and no request waits longer than a full queue takes.
    """

    def __init__(self, threads: int, capacity: int, what: str = "faces wait to be drawn") -> None:
        self.threads = threads
        self.capacity = capacity
        self.what = what  # what waits, in words
        self.watch: Callable[[float, float], None] = lambda waited, took: None  # called with the seconds of each job
        self.waiting = 0
        self.running = 0
        self._seconds = 0.02  # average time of a job; a guess until some have run
        self._batches: deque[_Batch[Any, Any]] = deque()
        self._changed = threading.Condition()
        self.stopping = self._closed = False
        self._threads = [threading.Thread(target=self._work, name=f"worker-{n}", daemon=True) for n in range(threads)]
        for thread in self._threads:
            thread.start()

    async def run(self, jobs: Sequence[Callable[[], T]], finish: Callable[[list[T]], R]) -> R:
        """Runs all jobs and returns `finish` of their results, which the thread of the last job calls.

        If the caller is cancelled, jobs that have not begun are dropped.

        Raises:
            Refusal: There is no room for so many jobs.
        """
        batch = _Batch(jobs, finish)
        with self._changed:
            if len(jobs) > self.free_places:
                raise self.refusal(len(jobs))
            self._batches.append(batch)
            self.waiting += len(jobs)
            self._changed.notify(len(jobs))
        try:
            return await batch.future
        finally:
            if batch.begun < len(jobs):
                self._drop(batch)
            del batch  # it holds its error, and the error this frame: photos would stay until the garbage is collected

    @property
    def free_places(self) -> int:
        """How many jobs would be accepted now."""
        return 0 if self.stopping else self.capacity + self.threads - self.waiting - self.running

    def refusal(self, n: int) -> Refusal:
        """The refusal of `n` jobs, with its reason."""
        if self.stopping:
            return Refusal("the service is stopping; ask again, and another one may answer", 1, stopping=True)
        seconds = (self.waiting + self.running) * self._seconds / self.threads
        return Refusal(
            f"{self.waiting} {self.what}, and {n} more do not fit; ask again a little later",
            max(1, math.ceil(seconds)),
        )

    @property
    def idle(self) -> bool:
        return not self.waiting and not self.running

    @property
    def saturation(self) -> float:
        """Jobs that wait or run, divided by threads. Above 1, some wait."""
        return (self.waiting + self.running) / self.threads

    def stop(self) -> None:
        """Refuses further work. Work that was accepted is finished."""
        self.stopping = True

    def close(self) -> None:
        """Ends the threads after their current jobs, and waits for them, because ONNX Runtime crashes on a sudden
        end."""
        with self._changed:
            self.stopping = self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _drop(self, batch: _Batch[Any, Any]) -> None:
        with self._changed:
            if batch in self._batches:
                self._batches.remove(batch)
                self.waiting -= len(batch.jobs) - batch.begun

    def _work(self) -> None:
        while taken := self._take():
            self._do(*taken)
            del taken  # frees what its request held, such as a photo

    def _take(self) -> tuple[_Batch[Any, Any], int] | None:
        """Waits for the next job and returns its batch and number; `None` at the end."""
        with self._changed:
            while not self._batches and not self._closed:
                self._changed.wait()
            if self._closed:
                return None
            batch = self._batches.popleft()
            number = batch.begun
            batch.begun += 1
            if batch.begun < len(batch.jobs):
                self._batches.append(batch)  # behind the other requests
            self.waiting -= 1
            self.running += 1
            return batch, number

    def _do(self, batch: _Batch[Any, Any], number: int) -> None:
        start = time.perf_counter()
        result, error, ended = None, None, True
        try:
            batch.results[number] = batch.jobs[number]()
            with self._changed:
                batch.left -= 1
                ended = batch.left == 0
            if ended:
                result = batch.finish(batch.results)
        except BaseException as raised:
            error = raised
            self._drop(batch)
            _clear(error)
        with self._changed:
            self.running -= 1
            took = time.perf_counter() - start
            self._seconds += SMOOTHING * (took - self._seconds)
        self.watch(start - batch.came, took)
        if ended:
            with suppress(RuntimeError):  # the loop is closed, so nobody waits any more
                batch.loop.call_soon_threadsafe(batch.deliver, result, error)
        del batch, error  # as in `run`


def _clear(error: BaseException | None) -> None:
    """Lets go of what the functions held that an error went through, such as a photo; their lines stay known."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
