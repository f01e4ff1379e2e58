"""What a user can put right: one line that says what is wrong and what to do next, never a traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """A mistake or an outside failure that the user can put right; the message names the remedy."""


def printable(text: str) -> str:
    r"""Text that may come from outside, such as a file's name, as a terminal may show it: other characters are written
    out, such as \x1b. A terminal obeys these."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


@contextmanager
def exit_on_user_error() -> Iterator[None]:
    """Prints a `UserError` as one line on standard error and exits with status 2; Ctrl-C exits with 130,
    after what the `KeyboardInterrupt` says."""
    try:
        yield
    except UserError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt as error:
        print("; ".join(["interrupted", *map(str, error.args)]), file=sys.stderr)
        sys.exit(130)
