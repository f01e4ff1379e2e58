"""API keys: one from the environment, and those of a file, which may change while the service runs."""

import hmac
import os
import time
from pathlib import Path

import structlog

from face_generation.errors import UserError

ENVIRONMENT = "environment"  # the name of the key from there
LOOK = 1.0  # seconds from a look at the file to the next
log = structlog.get_logger()


class Keys:
    """Tells whose a key is. A file that cannot be read any more, or is wrong, leaves the keys as they were.

    Raises:
        UserError: The file cannot be read, or is wrong, at the start.
    """

    def __init__(self, key: str | None, file: str | None) -> None:
        self._own = {} if key is None else {ENVIRONMENT: key.encode()}
        self._file = None if file is None else Path(file).expanduser()
        self._state: tuple[int, ...] = ()
        self._looked = time.monotonic()
        self._keys = dict(self._own)
        if self._file is not None:
            self._state = _state(self._file)
            self._keys |= read_keys(self._file)

    def __bool__(self) -> bool:
        """Whether keys are wanted at all."""
        return bool(self._own) or self._file is not None

    def owner(self, given: str) -> str | None:
        """The name of a key, or `None` where there is no such key. The time it takes does not tell how near it was."""
        self._look()
        owners = [name for name, key in self._keys.items() if hmac.compare_digest(given.encode("latin-1"), key)]
        return owners[0] if owners else None

    def _look(self) -> None:
        now = time.monotonic()
        if self._file is None or now - self._looked < LOOK:
            return
        self._looked = now
        try:
            state = _state(self._file)
            if state != self._state:
                self._keys = self._own | read_keys(self._file)
                self._state = state
                log.info("keys", names=sorted(self._keys))
        except UserError as error:
            log.error("keys", problem=str(error))


def read_keys(file: Path) -> dict[str, bytes]:
    """The keys of a file by name: a name and a key on each line. Empty lines and those from # on say nothing.

    Raises:
        UserError: It cannot be read, or is something else.
    """
    keys: dict[str, bytes] = {}
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the API keys in {file} cannot be read ({error}); put that right") from error
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 2 or words[0] in keys or not line.isascii():
            raise UserError(f"line {number} of {file} is no new name and its key, in ASCII; write them as: name key")
        keys[words[0]] = words[1].encode()
    return keys


def _state(file: Path) -> tuple[int, ...]:
    """What changes with a file."""
    try:
        found = os.stat(file)
    except OSError as error:
        raise UserError(f"the API keys in {file} cannot be read ({error.strerror}); put that right") from error
    return found.st_ino, found.st_mtime_ns, found.st_size
