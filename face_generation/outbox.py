"""What is to be sent somewhere, kept until it has been: a receiver that is slow, locked or away costs no training."""

import time
from collections import deque
from collections.abc import Callable
from threading import Condition, Thread

PAUSE = 1.0  # seconds between attempts
WATCH = 0.1  # seconds between looks at the time


class Outbox:
    """Makes calls in the order in which they were put in, on a thread of its own, and each again until it works.

    Args:
        recover: Is told what a call raised, on that thread, before the next attempt. Where it raises, too, there is a
            pause.
    """

    def __init__(self, recover: Callable[[Exception], None]) -> None:
        self._recover = recover
        self._calls: deque[Callable[[], object]] = deque()
        self._changed = Condition()
        self._thread: Thread | None = None
        self._failed = False  # the last attempt

    def put(self, call: Callable[[], object]) -> None:
        """Makes a call soon."""
        with self._changed:
            self._calls.append(call)
            self._changed.notify_all()
        if self._thread is None:
            self._thread = Thread(target=self._work, name="outbox", daemon=True)
            self._thread.start()

    def put_first(self, call: Callable[[], object]) -> None:
        """Makes a call before all others. For `recover`."""
        with self._changed:
            self._calls.appendleft(call)

    def flush(self, patience: float) -> int:
        """Waits until all calls are made, or attempts have failed for `patience` seconds. Returns how many are left."""
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
