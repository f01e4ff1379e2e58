"""Keeps calls to a receiver until they succeed, so that a slow, locked or missing receiver does not delay training."""

import time
from collections import deque
from collections.abc import Callable
from threading import Condition, Thread, current_thread

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
        self._succeeded = 0.0  # when a call last succeeded

    def put(self, call: Callable[[], object]) -> None:
        """Adds a call at the end."""
        with self._changed:
            self._calls.append(call)
            self._changed.notify_all()
        if self._thread is None:
            self._begin()

    def put_first(self, call: Callable[[], object]) -> None:
        """Adds a call before all others. `recover` may use this."""
        with self._changed:
            self._calls.appendleft(call)

    def flush(self, patience: float, *, hurry: bool = False) -> int:
        """Waits until all calls have succeeded, or attempts have failed for `patience` seconds. Returns how many calls
        are left.

        Args:
            hurry: Do not wait for the end of an attempt that takes longer than `patience`, because it may hang.
        """
        begun = time.monotonic()
        with self._changed:
            while self._calls:
                waited = time.monotonic() - max(begun, self._succeeded)
                if waited > patience and (self._failed or hurry):
                    break
                self._changed.wait(WATCH)
            return len(self._calls)

    def abandon(self, error: Exception) -> None:
        """Takes an attempt that hangs for one that failed with `error`, and goes on with another thread. Does nothing
        if the last attempt has failed."""
        with self._changed:
            if self._failed or not self._calls:
                return
            self._failed = True
            self._begin(error)

    def _begin(self, error: Exception | None = None) -> None:
        self._thread = Thread(target=self._work, args=(error,), name="outbox", daemon=True)
        self._thread.start()

    def _work(self, error: Exception | None) -> None:
        while True:
            if error:
                try:
                    self._recover(error)
                except Exception:
                    time.sleep(PAUSE)
            with self._changed:
                self._changed.wait_for(lambda: bool(self._calls))
                call = self._calls[0]
            error = _attempt(call)
            with self._changed:
                if self._thread is not current_thread():  # the attempt was abandoned
                    return
                self._failed = error is not None
                if not error:
                    self._succeeded = time.monotonic()
                    self._calls.popleft()
                    self._changed.notify_all()


def _attempt(call: Callable[[], object]) -> Exception | None:
    try:
        call()
    except Exception as error:
        return error
    return None
