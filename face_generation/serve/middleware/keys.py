"""API keys: one from the environment, and those of a file that may change while the service runs."""

import hmac
import os
import time
from pathlib import Path

import structlog

from face_generation.errors import UserError

ENVIRONMENT = "environment"  # name of the key from the environment
LOOK = 1.0  # seconds between two looks at the file
log = structlog.get_logger()


class Keys:
    """The valid API keys, with their names. If the file becomes unreadable or malformed, the keys stay as they were.

    Raises:
        UserError: The file is unreadable or malformed at the start.
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
        """Whether requests need a key."""
        return bool(self._own) or self._file is not None

    def owner(self, given: str) -> str | None:
        """The name of a key; `None` if it is not valid. The comparison takes constant time."""
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
    """Reads the keys of a file by name. Each line has a name and a key. Empty lines and comments (#) are skipped.

    Raises:
        UserError: The file is unreadable or malformed.
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
            raise UserError(f"line {number} of {file} is not a new name and its key, in ASCII; write them as: name key")
        keys[words[0]] = words[1].encode()
    return keys


def _state(file: Path) -> tuple[int, ...]:
    """A value that changes when the file changes."""
    try:
        found = os.stat(file)
    except OSError as error:
        raise UserError(f"the API keys in {file} cannot be read ({error.strerror}); put that right") from error
    return found.st_ino, found.st_mtime_ns, found.st_size
