"""uvicorn's HTTP protocol with limits on the heads of requests and on the number of connections."""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 65_536
HEAD_SECONDS = 10.0
FULL = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Protocol(HttpToolsProtocol):
    """Closes connections whose request has too large or too slow a head, and the quietest one if there are too many.

    uvicorn reads a head for as long as it takes to be complete, and answers 503 above `limit_concurrency` instead of
    closing idle connections. Bodies have their own limits (`middleware/guards.py`).
    """

    most = 1000  # connections
    _heard = 0.0  # the time when data came last
    _in_head = True
    _head_bytes = 0
    _end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._heard = self.loop.time()
        self._expect_head()
        if len(self.connections) > self.most:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        self._heard = self.loop.time()
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self.transport.close()
            elif self._end is None:
                self._expect_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._in_head = False
        self._head_bytes = 0
        self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_waiting()

    def _make_room(self) -> None:
        others = [other for other in self.connections if isinstance(other, Protocol) and other is not self]
        quiet = [other for other in others if other.cycle is None or other.cycle.response_complete]
        closed = min(quiet, key=lambda other: other._heard, default=self)
        self.connections.discard(closed)
        if closed is self:
            self.transport.write(FULL)
            self.transport.close()
        else:
            closed.transport.abort()  # `close` would wait until its client has read everything

    def _expect_head(self) -> None:
        self._end = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._end is not None:
            self._end.cancel()
            self._end = None
