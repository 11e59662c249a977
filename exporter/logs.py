"""Logs of every hostwatch daemon: one JSON object or one line of text per event, secrets masked.

An event is a constant sentence plus fields; values never stand inside the sentence, so that a log store can
count equal events. Journald and Docker take the lines as they are from standard error.
"""

import json
import logging
import re
import sys
import time
import traceback
from typing import Any, Final, Literal, NoReturn, TextIO

Format = Literal["json", "text"]
Level = Literal["debug", "info", "warning", "error"]

# where a word begins, behind an escaped character too: masked is what JSON and repr have already escaped
_EDGE: Final = r"(?:\b|(?<=\\[abfnrtv])|(?<=\\x[0-9a-f]{2})|(?<=\\u[0-9a-f]{4}))"
# Slack and Vault tokens and Authorization headers by their published shapes (docs.slack.dev, developer.hashicorp.com)
_SECRETS: Final = re.compile(
    r"xox[a-z](?:\.xox[a-z])?-[A-Za-z0-9-]+"
    r"|xapp-[A-Za-z0-9-]+"
    rf"|{_EDGE}hv[sbr]\.[A-Za-z0-9_-]+"
    rf"|{_EDGE}[bsr]\.[A-Za-z0-9]{{24,}}"
    rf"|{_EDGE}(?i:(?:Bearer|Basic)(?:\s|\\[nrt])+)[A-Za-z0-9._~+/=-]+"
)
MASK: Final = "<secret>"


class Secret:
    """A text that no log, repr or format string shows; `reveal()` is the one way to read it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself. Call it only where it is handed to the peer that needs it."""
        return self._text

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled or copied: that would write it down")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash((Secret, self._text))


def mask(text: str) -> str:
    """Return `text` with everything that has the shape of a token replaced by `<secret>`."""
    return _SECRETS.sub(MASK, text)


class Log:
    """A logger whose calls take an event and its fields: `log.warning("settings kept", file=path)`."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, event: str, **fields: object) -> None:
        """Log what only somebody who searches for a fault wants to read."""
        self._logger.debug(event, extra={"fields": fields})

    def info(self, event: str, **fields: object) -> None:
        """Log a normal event that an operator wants to find later."""
        self._logger.info(event, extra={"fields": fields})

    def warning(self, event: str, **fields: object) -> None:
        """Log what was handled but wants somebody's attention."""
        self._logger.warning(event, extra={"fields": fields})

    def error(self, event: str, *, exc: BaseException | None = None, **fields: object) -> None:
        """Log our own fault; `exc` adds its traceback."""
        self._logger.error(event, exc_info=exc, extra={"fields": fields})


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return getattr(record, "fields", {})


def _text(value: object) -> str:
    """Return a value as text, whatever it is: no field may cost the event."""
    try:
        return str(value)
    except Exception:  # noqa: BLE001 -- somebody's own __str__
        return f"<{type(value).__name__}>"


def _trace(record: logging.LogRecord) -> str | None:
    if not record.exc_info or record.exc_info[1] is None:
        return None
    return mask("".join(traceback.format_exception(record.exc_info[1]))).rstrip()


def _moment(created: float) -> str:
    """Return RFC 3339 in UTC with milliseconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(created)) + f".{int(created * 1000) % 1000:03d}Z"


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, event, then the event's fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its newline."""
        line: dict[str, Any] = {
            "time": _moment(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        fields = {key if key not in line else key + "_": value for key, value in _fields(record).items()}
        if trace := _trace(record):
            fields["traceback"] = trace
        try:
            text = json.dumps(line | fields, default=_text, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError, RecursionError):  # keys that are no text, NaN, a list that holds itself
            text = json.dumps(line | {key: _text(value) for key, value in fields.items()}, ensure_ascii=False)
        return mask(text)


class TextFormatter(logging.Formatter):
    """One line for people: time, level, event, key=value."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and the traceback below it when there is one."""
        parts = [_moment(record.created), f"{record.levelname.lower():7}", record.getMessage()]
        parts += [f"{key}={self._quote(_text(value))}" for key, value in _fields(record).items()]
        line = mask(" ".join(parts))
        return f"{line}\n{trace}" if (trace := _trace(record)) else line

    @staticmethod
    def _quote(value: str) -> str:
        plain = value and not any(c.isspace() or c in '"=' or not c.isprintable() for c in value)
        return value if plain else json.dumps(value, ensure_ascii=False)


def setup(fmt: Format = "json", level: Level = "info", stream: TextIO | None = None) -> None:
    """Send every logger of this process to `stream` (standard error) in the given format."""
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(JsonFormatter() if fmt == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # asyncio tells at DEBUG which selector it uses, uvicorn each request at INFO: neither is an event of ours
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
