"""Keeps calls to a receiver until they succeed, so that a slow, locked or missing receiver does not delay training."""

import time
from collections import deque
from collections.abc import Callable
from threading import Condition, Thread

PAUSE = 1.0  # seconds between attempts
WATCH = 0.1  # seconds between looks at the time


class Outbox:
    """Makes calls in order, on its own thread, and repeats each until it succeeds.

    Args:
        recover: Called on that thread with the error of a call, before the next attempt. If it raises an error itself,
            there is a pause.
    """

    def __init__(self, recover: Callable[[Exception], None]) -> None:
        self._recover = recover
        self._calls: deque[Callable[[], object]] = deque()
        self._changed = Condition()
        self._thread: Thread | None = None
        self._failed = False  # whether the last attempt failed

    def put(self, call: Callable[[], object]) -> None:
        """Adds a call at the end."""
        with self._changed:
            self._calls.append(call)
            self._changed.notify_all()
        if self._thread is None:
            self._thread = Thread(target=self._work, name="outbox", daemon=True)
            self._thread.start()

    def put_first(self, call: Callable[[], object]) -> None:
        """Adds a call before all others. `recover` may use this."""
        with self._changed:
            self._calls.appendleft(call)

    def flush(self, patience: float) -> int:
        """Waits until all calls have succeeded, or attempts have failed for `patience` seconds. Returns how many calls
        are left."""
        begun = time.monotonic()
        with self._changed:
            while self._calls and not (self._failed and time.monotonic() - begun > patience):
                self._changed.wait(WATCH)
            return len(self._calls)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._calls))
                call = self._calls[0]
            try:
                call()
            except Exception as error:
                self._failed = True
                try:
                    self._recover(error)
                except Exception:
                    time.sleep(PAUSE)
                continue
            with self._changed:
                self._failed = False
                self._calls.popleft()
                self._changed.notify_all()
