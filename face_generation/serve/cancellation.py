"""Runs jobs for a request for as long as its client waits."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

from fastapi import Request

from face_generation.serve.middleware.guards import check_rate
from face_generation.serve.middleware.rates import client_of
from face_generation.serve.workers import Workers

T = TypeVar("T")
R = TypeVar("R")


class ClientGone(Exception):
    """The client has gone and does not wait for the answer any more."""


async def run(request: Request, workers: Workers, jobs: Sequence[Callable[[], T]], finish: Callable[[list[T]], R]) -> R:
    """Runs jobs like `Workers.run`, and drops them if the client goes. The body of the request must have been read.

    Jobs that are accepted count toward the client's rate.

    Raises:
        ClientGone: The client has gone.
        Problem: The client has asked for too much.
        Refusal: There is no room for so many jobs.
    """
    rates = request.app.state.service.rates
    if request.method == "GET":  # `Admission` accepts requests that may be answered without drawing
        check_rate(rates, request.scope)
    if len(jobs) <= workers.free_places:
        rates.spend(client_of(request.scope), len(jobs))
    try:
        async with asyncio.timeout(None) as patience:
            watch = asyncio.create_task(_end_with_client(request, patience))
            try:
                return await workers.run(jobs, finish)
            finally:
                watch.cancel()
    except TimeoutError as error:
        raise ClientGone from error


async def _end_with_client(request: Request, patience: asyncio.Timeout) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    patience.reschedule(asyncio.get_running_loop().time())
