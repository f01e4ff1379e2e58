"""Logs a line of JSON for each event, or a readable line on a terminal.

Tracebacks are logged without values, because these may be photos.
"""

import logging
import sys
import time
from io import StringIO
from typing import TextIO

import structlog
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

from face_generation.errors import printable

LINES = {"request": 2000, "other": 20}  # most lines a second; more would fill disks and say nothing new
KEPT = "\n\t"  # control characters that stay in a traceback


class Rate(logging.Filter):
    """Limits the lines of a second, for requests and for everything else. The next line says how many were left out."""

    def __init__(self) -> None:
        super().__init__()
        self._second = dict.fromkeys(LINES, 0)
        self._count = dict.fromkeys(LINES, 0)

    def left_out(self, kind: str) -> int | None:
        """How many lines were left out before this one; `None` if this one must be left out."""
        now, before = int(time.monotonic()), 0
        if now != self._second[kind]:
            before = max(0, self._count[kind] - LINES[kind])
            self._second[kind], self._count[kind] = now, 0
        self._count[kind] += 1
        return before if self._count[kind] <= LINES[kind] else None

    def filter(self, record: logging.LogRecord) -> bool:
        """Limits the logs of other packages."""
        before = self.left_out("other")
        if before:
            record.msg = f"{record.msg} ({before} lines were left out)"
        return before is not None

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        """For ours."""
        before = self.left_out("request" if event["event"] == "request" else "other")
        if before is None:
            raise structlog.DropEvent
        if before:
            event["left_out"] = before
        return event


def escape(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Escapes control characters, because clients choose paths and a terminal would obey such characters."""
    return {key: printable(value) if isinstance(value, str) else value for key, value in event.items()}


def plain_traceback(stream: TextIO, exc_info: ExcInfo) -> None:
    """Formats a traceback for a terminal."""
    text = StringIO()
    structlog.dev.plain_traceback(text, exc_info)
    stream.write("".join(char if char in KEPT else printable(char) for char in text.getvalue()))


def configure() -> None:
    """Sends all logs of this process, including uvicorn's, to standard error."""
    if sys.stderr.isatty():
        stamp = structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False)
        last: list[Processor] = [structlog.dev.ConsoleRenderer(sort_keys=False, exception_formatter=plain_traceback)]
    else:
        stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    shared: list[Processor] = [structlog.contextvars.merge_contextvars, structlog.processors.add_log_level, stamp]
    rate = Rate()
    structlog.configure(
        processors=[rate, *shared, escape, *last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(rate)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, escape],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
