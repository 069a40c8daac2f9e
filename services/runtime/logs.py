"""Log lines, as JSON or for a terminal: ``log.info("clip stored", extra={"camera": name})``.

In: records of the standard library's logging; what stands in ``extra`` are the fields of the line.
Out: a line per record on stderr: ts (UTC), level, service, message, the fields, a traceback if there is one.

Rules
- A line that is written while a record is handled names its recording, camera and trace (`services.runtime.trail`).
- Every line passes the masking of secrets, whoever wrote it: a second line of defence, not a licence.
- Libraries that log what they request (and so signed URLs) speak from WARNING on only.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

from services.runtime import trail
from services.runtime.masking import mask_text, mask_value
from services.runtime.settings import ObservabilitySettings

TALKATIVE = ("httpx", "httpcore", "boto3", "botocore", "s3transfer", "urllib3", "PIL", "matplotlib")
COLOURS = {"DEBUG": "2", "INFO": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(settings: ObservabilitySettings, service: str, stream: TextIO | None = None) -> None:
    """Sets up the root logger of this process; what was set up before is replaced."""
    stream = sys.stderr if stream is None else stream
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_formatter(settings.log_format, service, stream))
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)


def _formatter(kind: str, service: str, stream: TextIO) -> logging.Formatter:
    terminal = stream.isatty()
    if kind == "json" or (kind == "auto" and not terminal):
        return JsonLines(service)
    return ConsoleLines(service, colour=terminal and "NO_COLOR" not in os.environ)


class JsonLines(logging.Formatter):
    """One JSON object per line."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line = _fields(record) | {
            "ts": _moment(record).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": _message(record),
        }
        if trace := _trace(self, record):
            line["exception"] = trace
        first = ("ts", "level", "service", "message")
        ordered = {name: line[name] for name in first} | line
        return json.dumps(ordered, ensure_ascii=False)


class ConsoleLines(logging.Formatter):
    """``12:03:04.123 INFO    ingest  clip stored  camera=front/gate``"""

    def __init__(self, service: str, colour: bool) -> None:
        super().__init__()
        self._service = service
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        time = _moment(record).astimezone().strftime("%H:%M:%S.%f")[:-3]
        fields = "".join(f"  {name}={value}" for name, value in _fields(record).items())
        trace = _trace(self, record)
        level = self._painted(f"{record.levelname:<7}", COLOURS.get(record.levelname, ""))
        return f"{time} {level} {self._service:<10} {_message(record)}{fields}" + (f"\n{trace}" if trace else "")

    def _painted(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour and code else text


def _moment(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _message(record: logging.LogRecord) -> str:
    return mask_text(record.getMessage())


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    return mask_text(formatter.formatException(record.exc_info)) if record.exc_info else ""


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    given = {name: _plain(value) for name, value in vars(record).items() if name not in _OWN}
    extra = {**trail.fields(), **given}
    masked: dict[str, Any] = mask_value(extra)
    return masked


def _plain(value: object) -> object:
    """``value`` as JSON knows it; anything else as its text."""
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, (str, int, float)) else str(value)
