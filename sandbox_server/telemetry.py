"""Logging: structured lines on standard error.

What a sample wrote is never logged; what it may have had a say in (names, an agent's words) is logged as
data, with control characters escaped, so that it cannot forge lines or steer a terminal.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import TYPE_CHECKING, Any

import orjson
import structlog

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_LONGEST_VALUE = 4096


def configure(level: str, log_format: str) -> None:
    """Sets up logging for the process.

    Args:
        level: The least level to log, in lower case.
        log_format: "json", "console", or "auto" for console on a terminal and JSON elsewhere.
    """
    console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    processors: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if console:
        # Tracebacks are shown by the renderer, so only the values are made harmless.
        processors += [escape_values, structlog.dev.ConsoleRenderer()]
    else:
        processors += [
            structlog.processors.format_exc_info,
            escape_values,
            structlog.processors.JSONRenderer(serializer=_json),
        ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def escape_values(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Escapes control characters in all texts of a line but the traceback, and cuts long ones."""
    return {
        key: escape(value) if isinstance(value, str) and key != "exception" else value for key, value in event.items()
    }


def escape(text: str) -> str:
    """Returns a text with its control characters escaped, cut when it is long."""
    cut = text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."
    return _CONTROL.sub(lambda found: f"\\u{ord(found.group()):04x}", cut)


def _json(event: Any, **_options: Any) -> str:
    return orjson.dumps(event, default=str).decode("utf-8")
