"""Fetches published weights, which torch.hub keeps after first use."""

import pickle
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from http.client import HTTPException

from face_generation.metrics import Gap

TIMEOUT = 30.0  # seconds without a byte; torch.hub itself has no limit


@contextmanager
def fetching(what: str, remedy: str) -> Iterator[None]:
    """Turns any failure inside the `with` block, which may only fetch weights, into a `Gap` with the remedy."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        with redirect_stdout(sys.stderr):  # torch.hub announces a download on stdout; its progress bar is on stderr
            yield
    # In order: no network or disk; a connection that broke; a wrong checksum or file (the last two).
    except (OSError, HTTPException, RuntimeError, pickle.UnpicklingError) as error:
        reason = str(getattr(error, "reason", error)).partition("\n")[0]
        raise Gap(f"{what} cannot be fetched ({reason}); {remedy}") from error
    finally:
        socket.setdefaulttimeout(before)
