"""Headers that tell browsers what our answers may do. Only our pages may do anything."""

import re

Headers = list[tuple[bytes, bytes]]

PAGES = re.compile(r"/|/static/.*|/runtime/.*|/share/.*|/api/v1/docs(/.*)?")  # and what runs in them
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
# Where the page draws: WebAssembly is compiled, and pages are isolated, without which browsers allow no threads.
_WEBASSEMBLY = f"{_OURS}; script-src 'self' 'wasm-unsafe-eval'"
_ISOLATED = {"cross-origin-embedder-policy": "require-corp"}
_NOTHING = "default-src 'none'; frame-ancestors 'none'"


def _encoded(headers: dict[str, str]) -> Headers:
    return [(name.encode(), value.encode()) for name, value in headers.items()]


PAGE = _encoded({**_ALWAYS, **_PAGE, "content-security-policy": _OURS})
DRAWING_PAGE = _encoded({**_ALWAYS, **_PAGE, **_ISOLATED, "content-security-policy": _WEBASSEMBLY})
ELSE = _encoded({**_ALWAYS, "content-security-policy": _NOTHING})


def headers(path: str, *, in_browser: bool) -> Headers:
    """The headers of the answer at a path, which is given without the prefix.

    Args:
        in_browser: Whether pages draw faces by themselves.
    """
    if not PAGES.fullmatch(path):
        return ELSE
    return DRAWING_PAGE if in_browser else PAGE
