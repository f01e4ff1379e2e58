"""Answers that are the same for everybody. They have entity tags and are sent compressed."""

import gzip
import hashlib
import re
from functools import cached_property

from fastapi import Request, Response

SMALL = 1000  # bytes; smaller bodies are not worth compressing
LOOSE = re.compile(r"text/|application/(json|manifest\+json|wasm)|image/svg\+xml")  # types that compress well
REFUSED = re.compile(r";\s*q=0(\.0*)?\s*$")
MINUTE = 60  # seconds for which answers may be kept that a deployment may change
YEAR = 31_536_000  # seconds for which answers may be kept that never change
FOR_EVER = f"public, max-age={YEAR}, immutable"  # for addresses that change with their content
FRESH = "no-cache"  # answers may be kept, but clients ask each time and get a 304 if nothing has changed


class Document:
    """A body that many clients ask for."""

    def __init__(self, body: bytes, media_type: str) -> None:
        self.body = body
        self.media_type = media_type
        self.tag = hashlib.sha256(body).hexdigest()[:32]

    @cached_property
    def compressed(self) -> bytes | None:
        """The body as gzip; `None` if that is hardly smaller."""
        worth_it = len(self.body) > SMALL and LOOSE.match(self.media_type)
        return gzip.compress(self.body, 6, mtime=0) if worth_it else None

    def answer(self, request: Request, cache_control: str) -> Response:
        """The response to a request for the document."""
        tag, body = self.tag, self.body
        headers = {"cache-control": cache_control}
        if self.compressed:
            headers["vary"] = "accept-encoding"
            if takes_gzip(request):
                tag, body = f"{tag}-gzip", self.compressed
                headers["content-encoding"] = "gzip"
        headers["etag"] = f'"{tag}"'
        if is_current(request, headers["etag"]):
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers, media_type=self.media_type)


def is_current(request: Request, etag: str) -> bool:
    """Whether the client already has the answer with this entity tag."""
    tags = request.headers.get("if-none-match", "").split(",")
    return not {"*", etag}.isdisjoint(tag.strip().removeprefix("W/") for tag in tags)


def takes_gzip(request: Request) -> bool:
    """Whether the client accepts gzip."""
    codings = request.headers.get("accept-encoding", "").lower().split(",")
    return any(coding.partition(";")[0].strip() == "gzip" and not REFUSED.search(coding) for coding in codings)
