"""Headers that tell browsers what our answers may do. Only our pages may do anything."""

import re

Headers = list[tuple[bytes, bytes]]

PAGES = re.compile(r"/|/static/.*|/share/.*|/api/v1/docs(/.*)?")
_ALWAYS = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}
_PAGE = {
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "x-frame-options": "DENY",
}
_OURS = (
    "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_NOTHING = "default-src 'none'; frame-ancestors 'none'"


def _encoded(headers: dict[str, str]) -> Headers:
    return [(name.encode(), value.encode()) for name, value in headers.items()]


PAGE = _encoded({**_ALWAYS, **_PAGE, "content-security-policy": _OURS})
ELSE = _encoded({**_ALWAYS, "content-security-policy": _NOTHING})


def headers(path: str) -> Headers:
    """The headers of the answer at a path, which is given without the prefix."""
    return PAGE if PAGES.fullmatch(path) else ELSE
