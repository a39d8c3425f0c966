"""Log records in the lines that Triton writes, which scripts look into."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sonic.errors import ConfigError
from sonic.server.logsettings import LogSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonic.server.tritonserver.flags import Settings


class TritonFormatter(logging.Formatter):
    """``I1121 07:30:00.123456 4711 main.py:42] text``, in local time; or ``2026-11-21T07:30:00Z I 4711 ...``.

    Parameters
    ----------
    iso8601 : callable
        Says which of the two.
    """

    def __init__(self, iso8601: Callable[[], bool] = bool) -> None:
        super().__init__()
        self._iso8601 = iso8601

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and those of a traceback."""
        letter = "E" if record.levelno >= logging.ERROR else "W" if record.levelno >= logging.WARNING else "I"
        if self._iso8601():
            start = f"{datetime.fromtimestamp(record.created, UTC):%Y-%m-%dT%H:%M:%SZ} {letter}"
        else:
            start = f"{letter}{datetime.fromtimestamp(record.created):%m%d %H:%M:%S.%f}"
        line = f"{start} {record.process} {record.filename}:{record.lineno}] {record.getMessage()}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def set_up(settings: Settings) -> LogSettings:
    """Send all logs of this process where the settings say, in Triton's form.

    Returns
    -------
    LogSettings
        By which clients change what is logged.

    Raises
    ------
    ConfigError
        If the file cannot be written.
    """
    try:
        handler = logging.FileHandler(settings.log_file) if settings.log_file else logging.StreamHandler(sys.stderr)
    except OSError as error:
        raise ConfigError(f"cannot write --log-file {settings.log_file}: {error.strerror}") from error
    logger = logging.getLogger("sonic")
    logger.setLevel(logging.DEBUG if settings.log_verbose > 0 else logging.INFO)
    chosen = LogSettings(
        logger,
        {
            "log_file": settings.log_file or "",
            "log_info": settings.log_info,
            "log_warning": settings.log_warning,
            "log_error": settings.log_error,
            "log_verbose_level": settings.log_verbose,
            "log_format": "ISO8601" if settings.log_iso8601 else "default",
        },
        formats=True,
    )
    handler.setFormatter(TritonFormatter(lambda: chosen.read()["log_format"] == "ISO8601"))
    handler.addFilter(chosen)
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    return chosen
