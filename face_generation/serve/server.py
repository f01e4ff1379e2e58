"""Runs the service as a process: uvicorn, with a graceful stop."""

import asyncio
import errno
import signal
import socket
import time

import structlog
import uvicorn

from face_generation.errors import UserError
from face_generation.serve import logs
from face_generation.serve.api import Service
from face_generation.serve.app import create_app
from face_generation.serve.protocol import Protocol
from face_generation.serve.settings import Settings

BACKLOG = 2048  # connections that may wait to be accepted
SPARE = 64  # file descriptors for everything but connections
UNREAD = 60_000  # milliseconds; a connection ends if its client reads nothing for so long
KEEP_ALIVE = 75  # seconds; longer than proxies keep connections, so that none sends into a closed one
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
log = structlog.get_logger()


def serve(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT, then finishes the requests in progress and returns.

    Raises:
        UserError: The address or a bundle cannot be served.
    """
    listener = listen(settings.host, settings.port)  # first, because it fails fast
    with listener:
        app = create_app(settings)
        logs.configure()
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            http=type("Bounded", (Protocol,), {"most": descriptors(settings.limits.connections)}),
            ws="none",
            loop="asyncio",  # uvloop accepts one connection in each turn of the loop, and turns are long under load
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE,
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=settings.trusted_proxies,
        )
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, lambda *_: None)  # uvicorn handles signals, and passes them on when it has stopped
        print(f"Serving faces at {address(settings, listener)} (Ctrl-C stops)", flush=True)
        service = app.state.service
        Server(config, service, settings.shutdown_seconds).run([listener])
        service.close()


def listen(host: str, port: int) -> socket.socket:
    """Opens a listening socket.

    Raises:
        UserError: The address or the port cannot be used.
    """
    try:
        family, *_, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(where[:2], family=family, backlog=BACKLOG)
    except socket.gaierror as error:
        raise UserError(f"host={host} is not an address ({error.strerror}); try host=127.0.0.1") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UserError(f"port {port} of {host} is in use; choose another, such as port={port + 1}") from error
        raise UserError(f"cannot serve at {host}:{port}: {error.strerror}; choose another host or port") from error
    # Connections inherit these options.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # on Linux
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD)
    return listener


def descriptors(connections: int) -> int:
    """The number of connections that this process has file descriptors for, up to `connections`. Asks the system for
    more if needed."""
    try:
        import resource
    except ImportError:  # on Windows
        return connections
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + SPARE
    if resource.RLIM_INFINITY != soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return connections if soft == resource.RLIM_INFINITY else max(1, min(connections, soft - SPARE))


def address(settings: Settings, listener: socket.socket) -> str:
    """The address of the service for browsers."""
    host = ANYWHERE.get(settings.host, settings.host)
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listener.getsockname()[1]}{settings.prefix}/"


class Server(uvicorn.Server):
    """Stops in two steps: it first refuses new faces but still answers, and closes connections when all is drawn."""

    def __init__(self, config: uvicorn.Config, service: Service, shutdown_seconds: float) -> None:
        super().__init__(config)
        self.service = service
        self.shutdown_seconds = shutdown_seconds

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        deadline = time.monotonic() + self.shutdown_seconds
        log.info("stopping", drawing=self.service.workers.running, waiting=self.service.workers.waiting)
        self.service.stop()
        while not self.service.idle and not self.force_exit and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        self.config.timeout_graceful_shutdown = max(0, deadline - time.monotonic())  # type: ignore[assignment]
        await super().shutdown(sockets)
