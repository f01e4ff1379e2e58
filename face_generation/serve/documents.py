"""What is the same for everybody who asks: it has an entity tag, and goes out compressed."""

import gzip
import hashlib
import re
from functools import cached_property

from fastapi import Request, Response

SMALL = 1000  # bytes that are not worth compressing
LOOSE = re.compile(r"text/|application/(json|manifest\+json|wasm)|image/svg\+xml")  # types that compress well
REFUSED = re.compile(r";\s*q=0(\.0*)?\s*$")
MINUTE = 60  # seconds; what a deployment may change
FRESH = "no-cache"  # may be kept, and is asked for again: answered with 304 where unchanged


class Document:
    """A body that many ask for."""

    def __init__(self, body: bytes, media_type: str) -> None:
        self.body = body
        self.media_type = media_type
        self.tag = hashlib.sha256(body).hexdigest()[:32]

    @cached_property
    def compressed(self) -> bytes | None:
        """The body as gzip, where that is smaller by much."""
        worth_it = len(self.body) > SMALL and LOOSE.match(self.media_type)
        return gzip.compress(self.body, 6, mtime=0) if worth_it else None

    def answer(self, request: Request, cache_control: str) -> Response:
        """The response to a request for it."""
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
    """Whether the client has the answer with this entity tag already."""
    tags = request.headers.get("if-none-match", "").split(",")
    return not {"*", etag}.isdisjoint(tag.strip().removeprefix("W/") for tag in tags)


def takes_gzip(request: Request) -> bool:
    """Whether the client can unpack an answer."""
    codings = request.headers.get("accept-encoding", "").lower().split(",")
    return any(coding.partition(";")[0].strip() == "gzip" and not REFUSED.search(coding) for coding in codings)
