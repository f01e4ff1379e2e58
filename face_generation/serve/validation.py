"""Turns Pydantic's errors into sentences that say what to do."""

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, Field

SHOWN = 3  # mistakes that are named at once
SHOULD = re.compile(r"^(Input|List|Dictionary|String|Value) should")
FILLER = re.compile(r", unable to parse string as .*| after validation")
LONGEST = 60  # characters of an input that are shown


def sentence(errors: Iterable[Mapping[str, Any]]) -> str:
    """One line for the errors of a `ValidationError`."""
    lines = [_line(error) for error in errors]
    more = f"; and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    return "; ".join(lines[:SHOWN]) + more


class Finding(BaseModel):
    """A mistake in a request."""

    detail: str = Field(description="What is wrong and what to do")
    pointer: str | None = Field(None, description="The place in the body: a JSON pointer as the fragment of an address")
    parameter: str | None = Field(None, description="The option of the query, or the part of the path")


def findings(errors: Iterable[Mapping[str, Any]], *place: str) -> list[Finding]:
    """The errors of a `ValidationError`, one by one. `place` is the place of the validated value in a request."""
    return [
        finding(_line(error), *place, *(() if error["type"] == "json_invalid" else error["loc"])) for error in errors
    ]


def finding(detail: str, where: str = "body", *path: str | int) -> Finding:
    """A mistake at a path in the body, the query or the path of a request."""
    if where != "body":
        name = path[1:2] if path[:1] == ("edits",) else path[:1]  # in a query each edit is an option of its own
        return Finding(detail=detail, pointer=None, parameter=str(name[0]) if name else None)
    escaped = (str(part).replace("~", "~0").replace("/", "~1") for part in path)
    pointer = "#" + quote("".join(f"/{part}" for part in escaped), safe="/~")
    return Finding(detail=detail, pointer=pointer, parameter=None)


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
