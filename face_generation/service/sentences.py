"""What Pydantic finds wrong, as sentences that people act on."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

SHOWN = 3  # mistakes named at once
SHOULD = re.compile(r"^(Input|List|Dictionary|String|Value) should")
FILLER = re.compile(r", unable to parse string as .*| after validation")
LONGEST = 60  # characters of an input that are shown


def sentence(errors: Iterable[Mapping[str, Any]]) -> str:
    """One line for the errors of a `ValidationError`."""
    lines = [_line(error) for error in errors]
    more = f"; and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    return "; ".join(lines[:SHOWN]) + more


def _line(error: Mapping[str, Any]) -> str:
    name = ".".join(str(part) for part in error["loc"] if part not in ("body", "path", "query")) or "the body"
    message = str(error["msg"])
    if error["type"] == "missing":
        return f"{name} is missing"
    if error["type"] == "extra_forbidden":
        return f"there is no option {name}"
    if error["type"] == "json_invalid":
        return f"this is not JSON ({error.get('ctx', {}).get('error', message)})"
    if error["type"] == "value_error":
        return message.removeprefix("Value error, ")
    message, should = SHOULD.subn("should", FILLER.sub("", message))
    line = f"{name} {message}" if should else f"{name}: {message[0].lower()}{message[1:]}"
    given = repr(error["input"])
    shown = given if len(given) <= LONGEST else f"{given[:LONGEST]}…"
    return line if ", not " in line else f"{line}, not {shown}"
