"""Middleware that refuses requests: without an API key, above a client's rate, behind a full queue, or too large."""

import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from face_generation.serve.middleware.keys import Keys
from face_generation.serve.middleware.rates import KEY, Rates, client_of
from face_generation.serve.problems import Problem
from face_generation.serve.workers import Workers

OPEN = re.compile(r"/api/v1/(docs(/.*)?|openapi\.json|problems(/.*)?)")  # need no key, because browsers send none
DRAWING = re.compile(r"/api/v1/[^/]+/(faces|latents|decode|interpolations|reconstructions|previews)")
PHOTOS = re.compile(r"/api/v1/[^/]+/reconstructions")
BODIES_AT_ONCE = 8  # how many bodies of the largest size may be in memory together


class ApiKey:
    """Refuses requests to `/api/` without a valid key. Stores the key's name in the request's state."""

    def __init__(self, app: ASGIApp, keys: Keys) -> None:
        self.app = app
        self.keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = scope["path"].removeprefix(scope["root_path"])
            if path.startswith("/api/") and not OPEN.fullmatch(path):
                scope["state"][KEY] = self._owner(Headers(scope=scope))
        await self.app(scope, receive, send)

    def _owner(self, headers: Headers) -> str:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        owner = self.keys.owner(token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", ""))
        if owner is None:
            raise Problem(
                401,
                "this service wants its API key; send it as Authorization: Bearer …, or as X-API-Key",
                {"WWW-Authenticate": "Bearer"},
            )
        return owner


class Admission:
    """Refuses clients above their rate, and requests that would wait behind a full queue, before their body is read."""

    def __init__(self, app: ASGIApp, workers: Workers, photos: Workers, rates: Rates) -> None:
        self.app = app
        self.workers = workers
        self.photos = photos
        self.rates = rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _is_work(scope):
            check_rate(self.rates, scope)
            if self.workers.free_places < 1:
                raise self.workers.refusal(1)
            if self.photos.free_places < 1 and PHOTOS.match(scope["path"], len(scope["root_path"])):
                raise self.photos.refusal(1)
        await self.app(scope, receive, send)


def check_rate(rates: Rates, scope: Scope) -> None:
    """Refuses a request if its client has asked for too much. Raises a `Problem`."""
    if seconds := rates.wait(client_of(scope)):
        detail = f"a client may ask for {rates.rate:g} faces a second; ask again in {seconds} s"
        raise Problem(429, detail, {"Retry-After": str(seconds)})


def _is_work(scope: Scope) -> bool:
    if scope["method"] == "GET" and any(name == b"if-none-match" for name, _ in scope["headers"]):
        return False  # it may be answered without drawing; otherwise `cancellation.run` checks the rate
    return DRAWING.match(scope["path"], len(scope["root_path"])) is not None


class BodyLimits:
    """Limits each body while it is read, whatever its headers say, and all bodies together."""

    def __init__(self, app: ASGIApp, json_bytes: int, upload_bytes: int) -> None:
        self.app = app
        self.json_bytes = json_bytes
        self.upload_bytes = upload_bytes
        self.most = BODIES_AT_ONCE * max(json_bytes, upload_bytes)
        self.held = 0  # bytes of bodies whose answers have not begun

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        limit = self.json_bytes if "json" in headers.get("content-type", "").lower() else self.upload_bytes
        too_large = Problem(413, f"the body has more than {limit:,} bytes; send less")
        declared = headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > limit:
            raise too_large
        read = 0

        async def receive_limited() -> Message:
            nonlocal read
            message = await receive()
            size = len(message.get("body", b""))
            read += size
            self.held += size
            if read > limit:
                raise too_large
            if self.held > self.most:
                raise Problem(503, "many uploads are under way; ask again a little later", {"Retry-After": "1"})
            return message

        async def send_noting(message: Message) -> None:
            nonlocal read
            if message["type"] == "http.response.start":  # the client decides how long the rest takes
                self.held -= read
                read = 0
            await send(message)

        try:
            await self.app(scope, receive_limited, send_noting)
        finally:
            self.held -= read
