"""Logs: a line of JSON an event, or readable ones on a terminal. Tracebacks have no values, which may be photos."""

import logging
import sys

import structlog
from structlog.typing import Processor


def configure() -> None:
    """Sends the logs of this process, uvicorn's among them, to standard error."""
    if sys.stderr.isatty():
        stamp = structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False)
        last: list[Processor] = [
            structlog.dev.ConsoleRenderer(sort_keys=False, exception_formatter=structlog.dev.plain_traceback)
        ]
    else:
        stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    shared: list[Processor] = [structlog.contextvars.merge_contextvars, structlog.processors.add_log_level, stamp]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
