"""Errors that a user can put right. They are shown as one line that says what is wrong and what to do next."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """A mistake or an outside failure that the user can put right. The message names the remedy."""


def printable(text: str) -> str:
    r"""Escapes control characters, such as \x1b, in text from outside, because a terminal would obey them."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


@contextmanager
def exit_on_user_error() -> Iterator[None]:
    """Exits with status 2 on a `UserError`, which is printed as one line on standard error. Exits with status 130 on
    Ctrl-C, after the message of the `KeyboardInterrupt`."""
    try:
        yield
    except UserError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt as error:
        print("; ".join(["interrupted", *map(str, error.args)]), file=sys.stderr)
        sys.exit(130)
