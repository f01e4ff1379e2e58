"""Calls are made in order, and again until they work."""

from face_generation.outbox import Outbox


def wait(error: Exception) -> None:
    raise error


def test_calls_are_made_in_order_and_again_until_they_work() -> None:
    made: list[int] = []
    failures = iter([OSError("locked")])

    def fails_once() -> None:
        for failure in failures:
            raise failure
        made.append(1)

    outbox = Outbox(wait)
    for call in (lambda: made.append(0), fails_once, lambda: made.append(2)):
        outbox.put(call)

    assert outbox.flush(60) == 0
    assert made == [0, 1, 2]


def test_what_does_not_work_in_time_is_counted() -> None:
    def fails() -> None:
        raise OSError("away")

    outbox = Outbox(wait)
    outbox.put(fails)
    outbox.put(fails)
    assert outbox.flush(0.1) == 2
