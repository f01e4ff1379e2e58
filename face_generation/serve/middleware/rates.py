"""Rate limits: how many faces a second each client may ask for, and how many at once."""

import ipaddress
import math
import time
from collections.abc import Callable

from starlette.types import Scope

BURST = 10.0  # a client may ask for the faces of so many seconds at once
MANY = 10_000  # clients; beyond, those who may ask at once are forgotten
KEY = "api_key"  # where a request's state has the name of its key


class Rates:
    """Keeps an account of faces for each client. A request is accepted, however large it is, while its client's account
    is below the burst."""

    def __init__(self, rate: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate  # faces a second, or `None` for any number
        self._clock = clock
        self._paid: dict[str, float] = {}  # the time when each client's account is empty again

    def wait(self, client: str) -> int:
        """Seconds until a client may ask again; 0 if it may now."""
        owed = self._paid[client] - self._clock() if client in self._paid else 0.0
        return max(0, math.ceil(owed - BURST))

    def spend(self, client: str, faces: int) -> None:
        """Adds faces to a client's account."""
        if not self.rate:
            return
        now = self._clock()
        if len(self._paid) >= MANY:
            self._paid = {client: paid for client, paid in self._paid.items() if paid > now}
        self._paid[client] = max(now, self._paid.get(client, now)) + faces / self.rate


def client_of(scope: Scope) -> str:
    """Identifies the client: the name of its API key or else its address. For IPv6 that is the network of 64 bits,
    because one client has all of it."""
    if name := scope.get("state", {}).get(KEY):
        return f"key {name}"
    host = scope["client"][0] if scope.get("client") else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return host if address.version == 4 else str(ipaddress.ip_network((address, 64), strict=False))
