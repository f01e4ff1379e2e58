"""How much each client may ask for: a number of faces a second, and a burst of some seconds' worth at once."""

import ipaddress
import math
import time
from collections.abc import Callable

from starlette.types import Scope

BURST = 10.0  # seconds whose faces a client may ask for at once
MANY = 10_000  # clients; beyond, those who have nothing to wait for are forgotten
KEY = "api_key"  # in a request's state: the name of its key


class Rates:
    """Who may ask now. A request is let in while its client owes less than the burst, however large it is itself."""

    def __init__(self, rate: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate  # faces a second, or `None` for any number
        self._clock = clock
        self._paid: dict[str, float] = {}  # when each client has nothing to its account any more

    def wait(self, client: str) -> int:
        """Seconds until a client may ask for more; 0 if it may now."""
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
    """Who asks: the name of the API key, or else the address; of IPv6 the network, as one client has all of it."""
    if name := scope.get("state", {}).get(KEY):
        return f"key {name}"
    host = scope["client"][0] if scope.get("client") else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return host if address.version == 4 else str(ipaddress.ip_network((address, 64), strict=False))
