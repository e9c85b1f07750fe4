"""The log: one line for each record, whatever clients put into it."""

import json
import logging
import re
from datetime import UTC, datetime
from time import localtime, strftime

from proxy.ops.log_output import LogOutput
from proxy.policy.log_spec import LogSpec

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_COLOURS = {"DEBUG": "2", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}


def configure(spec: LogSpec, output: LogOutput) -> None:
    """Send all that `logging` takes to `output`, as `spec` says. May be called again."""
    handler = _OutputHandler(output)
    if spec.format == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(ConsoleFormatter(coloured=output.is_terminal))
    root = logging.getLogger()
    for old in root.handlers[:]:
        if isinstance(old, _OutputHandler):
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(spec.level.upper())
    # It tells of every change in a watched folder, its own log file's too.
    logging.getLogger("watchfiles").setLevel(logging.WARNING)


def rfc3339(seconds: float) -> str:
    """Unix `seconds` as `2026-03-01T12:00:00.123Z` (RFC 3339), milliseconds cut."""
    whole = datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{int(seconds * 1000) % 1000:03}Z"


def clock_time(seconds: float) -> str:
    """Unix `seconds` as local `12:00:00.123`: for a person who watches."""
    return f"{strftime('%H:%M:%S', localtime(seconds))}.{int(seconds * 1000) % 1000:03}"


def escaped(text: str) -> str:
    """`text` with a readable code for every control character and line separator."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


class JsonFormatter(logging.Formatter):
    """One JSON object in ASCII for each record; a traceback is its `exception`.

    A record's `fields` (`extra={"fields": {...}}`) are members of their own.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The record's line."""
        line = {
            "time": rfc3339(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


class ConsoleFormatter(logging.Formatter):
    """Time, level and message; a traceback follows indented, so it can't pass for a record."""

    def __init__(self, *, coloured: bool) -> None:
        super().__init__()
        self._coloured = coloured

    def format(self, record: logging.LogRecord) -> str:
        """The record's line, or lines."""
        level = f"{record.levelname.lower():8}"
        colour = _COLOURS.get(record.levelname)
        if self._coloured and colour:
            level = f"\x1b[{colour}m{level}\x1b[0m"
        line = f"{clock_time(record.created)} {level} {escaped(record.getMessage())}"
        if record.exc_info:
            traceback = self.formatException(record.exc_info)
            # Split at what ends a line on a screen, and nothing else.
            line += "".join(f"\n    {escaped(row)}" for row in traceback.split("\n"))
        return line


class _OutputHandler(logging.Handler):
    def __init__(self, output: LogOutput) -> None:
        super().__init__()
        self._output = output

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._output.put(self.format(record))
        except Exception:
            self.handleError(record)
