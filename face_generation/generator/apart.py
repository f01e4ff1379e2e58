"""Decodes some pictures of strangers in a separate process, whose memory and time are limited.

The decoders of HEIC and AVIF only notice that a picture is larger than its header says after they have taken the
memory. The decoder of lossless WebP makes tables that no header mentions: 370 MB for a file of 300 kB with a megapixel.
So the process that reads strangers' photos starts another process. That one gets the file, and gives back plain pixels
or fails. This is only possible on Linux.
"""

import os
import re
import subprocess
import sys
from io import BytesIO
from pathlib import Path

from PIL import UnidentifiedImageError

from face_generation.generator.decoding import Room, TooLarge

IS_POSSIBLE = sys.platform == "linux"
FORMATS = ("HEIF", "AVIF") if IS_POSSIBLE else ()  # formats that are only ever decoded apart
PLAIN = ("PPM",)  # the format that comes back
SECONDS = 10  # of CPU time; three times as many may pass on a busy machine
KEPT = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH")  # of the environment; other variables may be secrets
TOO_LARGE, NO_PICTURE = 3, 4  # exit statuses


def is_wanted(data: bytes) -> bool:
    """Whether a file is to be decoded apart: HEIC, AVIF, and a WebP with a lossless picture or alpha channel."""
    lossless = data.startswith(b"RIFF") and (b"VP8L" in data or b"ALPH" in data)
    return IS_POSSIBLE and (data[4:8] == b"ftyp" or lossless)


def decode(data: bytes, room: Room) -> bytes:
    """Decodes a picture's file to another file: upright, in sRGB, and of the format `PLAIN`.

    It waits for all of the room, because nobody knows how much memory the decoder takes, and may take all of it.

    Raises:
        OSError, subprocess.TimeoutExpired: The file is broken, or would take too much memory or time.
        TooLarge: As in `decoded`.
        UnidentifiedImageError: The file is not HEIC, AVIF or WebP.
    """
    command = [sys.executable, "-m", __name__, str(room.memory), str(room.pixels)]
    environment = {name: os.environ[name] for name in KEPT if name in os.environ}
    with room.hold(room.memory):
        done = subprocess.run(
            command,
            input=data,
            capture_output=True,
            timeout=3 * SECONDS,
            env=environment,
            start_new_session=True,  # Ctrl-C lets requests finish
        )
    if done.returncode == TOO_LARGE:
        *_, reason = done.stderr.decode(errors="replace").splitlines()  # a decoder may have written lines before it
        raise TooLarge(reason)
    if done.returncode == NO_PICTURE:
        raise UnidentifiedImageError
    if done.returncode:
        raise OSError(f"decoding ended with status {done.returncode}")
    return done.stdout


def main() -> None:
    """Decodes a file from standard input to standard output. The arguments are those of a `Room`."""
    from PIL import AvifImagePlugin

    from face_generation.generator import photos

    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    room = Room(*map(int, sys.argv[1:]))
    _limit(room.memory)
    try:
        with photos.open_photo(BytesIO(sys.stdin.buffer.read()), (*FORMATS, "WEBP")) as image:
            photos.plain(image, room).save(sys.stdout.buffer, *PLAIN)
    except TooLarge as error:
        print(error, end="", file=sys.stderr)
        sys.exit(TOO_LARGE)
    except UnidentifiedImageError:
        sys.exit(NO_PICTURE)


def _limit(memory: int) -> None:
    """Lets this process take `memory` more bytes and `SECONDS` of CPU time, and write no files. Faces go first."""
    import resource

    os.nice(5)
    held = re.search(r"VmData:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert held, "Linux says so"
    for kind, most in (
        (resource.RLIMIT_DATA, 1024 * int(held[1]) + memory),
        (resource.RLIMIT_CPU, SECONDS),
        (resource.RLIMIT_FSIZE, 0),
    ):
        resource.setrlimit(kind, (most, most))


if __name__ == "__main__":
    main()
