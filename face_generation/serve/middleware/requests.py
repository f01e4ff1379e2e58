"""Gives every request an id, a deadline, a line in the log, a count, and an answer whatever happens."""

import asyncio
import re
import secrets
import time

import structlog
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from face_generation.serve import problems
from face_generation.serve.middleware import security
from face_generation.serve.middleware.rates import KEY
from face_generation.serve.prometheus import Metrics

SANE_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
PIECE = 65_536  # bytes of a body that are sent at a time; one copy of the rest waits until the client has read them
CLIENT_GONE = 499  # logged as nginx does, but never sent
NOT_KEPT = (b"cache-control", b"no-store")  # unless an answer has another rule; it may come from a photo
LONGEST_PATH = 200  # characters of a path in the log
log = structlog.get_logger()


class Requests:
    """The outermost middleware, which turns every error into an answer."""

    def __init__(self, app: ASGIApp, metrics: Metrics, timeout: float, *, in_browser: bool) -> None:
        self.app = app
        self.metrics = metrics
        self.timeout = timeout
        self.in_browser = in_browser  # whether pages draw by themselves

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.perf_counter()
        method, path = scope["method"], scope["path"].removeprefix(scope["root_path"])
        wished = Headers(scope=scope).get("x-request-id", "")
        request_id = wished if SANE_ID.fullmatch(wished) else secrets.token_hex(8)
        scope["state"] = {**scope.get("state", {}), "request_id": request_id}
        if method == "HEAD":  # every GET has a HEAD
            scope["method"] = "GET"
        extra = [*security.headers(path, in_browser=self.in_browser), (b"x-request-id", request_id.encode())]
        status = 0
        gone = answered = False

        async def receive_noting() -> Message:
            nonlocal gone
            message = await receive()
            gone = gone or (message["type"] == "http.disconnect" and not answered)
            return message

        async def send_more(message: Message) -> None:
            nonlocal status, answered
            if message["type"] == "http.response.start":
                status = message["status"]
                given = message.get("headers", [])
                kept = [] if any(name == b"cache-control" for name, _ in given) else [NOT_KEPT]
                message["headers"] = [*given, *kept, *extra]
                await send(message)
                return
            body = b"" if method == "HEAD" else message.get("body", b"")
            for at in range(0, max(1, len(body)), PIECE):
                more = message.get("more_body", False) or at + PIECE < len(body)
                answered = not more
                if len(body) > PIECE:  # the timeout holds for the work, and again for each piece
                    deadline.reschedule(asyncio.get_running_loop().time() + self.timeout)
                await send({**message, "body": body[at : at + PIECE], "more_body": more})

        structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            async with asyncio.timeout(self.timeout) as deadline:
                await self.app(scope, receive_noting, send_more)
        except Exception as error:
            if status:  # the answer has begun, so there cannot be another
                if not isinstance(error, TimeoutError):
                    raise
                gone = True  # the client reads nothing
            elif not gone:
                await self._answer(scope, error)(scope, receive, send_more)
        finally:
            status = CLIENT_GONE if gone else status
            seconds = time.perf_counter() - start
            route = getattr(scope.get("route"), "path", "none")
            self.metrics.request(method, route, status, seconds)
            log.info(
                "request",
                method=method,
                path=path[:LONGEST_PATH],
                status=status,
                ms=round(1000 * seconds, 1),
                client=scope["client"][0] if scope.get("client") else None,
                **{key: value for key, value in scope["state"].items() if key == KEY},
            )

    def _answer(self, scope: Scope, error: Exception) -> Response:
        if response := problems.of(scope, error):
            return response
        if isinstance(error, TimeoutError):
            return problems.answer(
                scope, 504, f"this took longer than {self.timeout:g} s; ask for less, or again later"
            )
        log.error("failed", exc_info=error)
        return problems.answer(scope, 500, "this should not happen; the log of the service says more about it")
