"""Weights that others publish, which torch.hub fetches on first use and keeps."""

import pickle
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from http.client import HTTPException

from face_generation.metrics import Gap

TIMEOUT = 30.0  # seconds without a byte; torch.hub itself would wait for ever


@contextmanager
def fetching(what: str, remedy: str) -> Iterator[None]:
    """Around what may fetch weights, and nothing else: any failure is a `Gap` that says so, and the remedy."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        with redirect_stdout(sys.stderr):  # where the progress bar is; torch.hub announces a download on stdout
            yield
    # Respectively: no network or disk, a connection that broke, a wrong checksum or file (2).
    except (OSError, HTTPException, RuntimeError, pickle.UnpicklingError) as error:
        reason = str(getattr(error, "reason", error)).partition("\n")[0]
        raise Gap(f"{what} cannot be fetched ({reason}); {remedy}") from error
    finally:
        socket.setdefaulttimeout(before)
