"""One event per line, to standard error: text for people, JSON for machines.

Libraries' records come out in the same form. A thread writes: a blocked pipe costs lines (they are counted),
never the event loop.
"""

from __future__ import annotations

import logging
import queue
import sys
from logging.handlers import QueueHandler, QueueListener, WatchedFileHandler
from typing import Any, TextIO

import structlog

# Lines that wait for a slow pipe; beyond it new ones are dropped. About 2 MB.
_QUEUE_LINES = 10_000
# What loops say of each write to a connection that ends, of which they tell nobody that it does: up to 30 s long, for
# each event of a stream, and without a word of whose it is.
_OF_NO_USE = frozenset({"SSL connection is closed", "socket.send() raised exception."})


class _Dropping(QueueHandler):
    """Puts rendered lines in the queue, and counts those that find it full."""

    dropped = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        record.msg = self.format(record)
        record.args = record.exc_info = record.exc_text = record.stack_info = None
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1


class Logging:
    """Set up for the life of the process; ``close`` writes what is still queued."""

    def __init__(self, *, format_: str = "auto", level: str = "info", stream: TextIO | None = None) -> None:
        """format_: auto (text on a terminal), text or json. level: the least that is logged."""
        stream = stream or sys.stderr
        as_text = format_ == "text" or (format_ == "auto" and stream.isatty())
        shared: list[structlog.types.Processor] = [
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
        ]
        structlog.configure(
            processors=[
                structlog.stdlib.filter_by_level,
                *shared,
                structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
            ],
            logger_factory=structlog.stdlib.LoggerFactory(),
            wrapper_class=structlog.stdlib.BoundLogger,
            cache_logger_on_first_use=True,
        )
        last: list[Any] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
        if as_text:
            last.append(structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=_plain_traceback))
        else:
            last += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        formatter = structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=last)
        lines: queue.Queue[logging.LogRecord] = queue.Queue(_QUEUE_LINES)
        self._handler = _Dropping(lines)
        self._handler.setFormatter(formatter)
        self._handler.addFilter(_is_of_use)
        self._listener = QueueListener(lines, logging.StreamHandler(stream))
        root = logging.getLogger()
        root.handlers = [self._handler]
        root.setLevel(level.upper())
        for library in ("asyncio", "uvicorn", "uvicorn.error", "websockets"):
            logging.getLogger(library).setLevel(max(logging.WARNING, root.level))
        # serve/access_log.py writes a request's line, in the same words for both lanes.
        logging.getLogger("uvicorn.access").disabled = True
        self._listener.start()

    def close(self) -> None:
        """Write what is queued; tell how much was dropped."""
        self._listener.stop()
        if self._handler.dropped:
            print(f"{self._handler.dropped} log lines were dropped: standard error was blocked", file=sys.stderr)  # noqa: T201


class Lines:
    """Whole lines to a file (reopened when rotated) or to standard error, by a thread; beyond the queue dropped."""

    def __init__(self, target: str, stream: TextIO | None = None) -> None:
        """target: a path, or - for standard error. Raises OSError where the file cannot be written."""
        self._handler = _Dropping(queue.Queue(_QUEUE_LINES))
        self._handler.setFormatter(logging.Formatter("%(message)s"))
        self._writer = logging.StreamHandler(stream or sys.stderr) if target == "-" else WatchedFileHandler(target)
        self._listener = QueueListener(self._handler.queue, self._writer)
        self._listener.start()

    def write(self, line: str) -> None:
        self._handler.handle(logging.LogRecord("kubemirror.audit", logging.INFO, "", 0, line, None, None))

    def close(self) -> None:
        """Write what is queued."""
        self._listener.stop()
        self._writer.close()


def _is_of_use(record: logging.LogRecord) -> bool:
    return record.name != "asyncio" or record.msg not in _OF_NO_USE


def _plain_traceback(stream: TextIO, exc_info: Any) -> None:
    structlog.dev.plain_traceback(stream, exc_info)
