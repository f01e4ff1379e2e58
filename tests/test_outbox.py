"""Calls are made in order, and again until they work."""

from threading import Event

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


def test_a_call_that_hangs_may_be_abandoned_and_is_made_again() -> None:
    made: list[int] = []
    errors: list[Exception] = []
    answers = Event()

    def hangs_once() -> None:
        if not errors:
            answers.wait()
            return
        made.append(0)

    outbox = Outbox(errors.append)
    outbox.put(hangs_once)
    outbox.put(lambda: made.append(1))
    assert outbox.flush(0.1, hurry=True) == 2
    outbox.abandon(TimeoutError("hangs"))

    assert outbox.flush(60) == 0
    answers.set()  # too late
    outbox.put(lambda: made.append(2))
    assert outbox.flush(60) == 0
    assert made == [0, 1, 2]
    assert [str(error) for error in errors] == ["hangs"]
