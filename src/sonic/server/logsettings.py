"""What the server logs, as clients may read and change it: the logging extension of the Open Inference Protocol."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from sonic.errors import InvalidRequest, Unsupported, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

Setting = bool | int | str

_SWITCHES = ("log_info", "log_warning", "log_error")
_FORMATS = ("default", "ISO8601")
_SILENT = logging.CRITICAL + 1


class LogSettings(logging.Filter):
    """The settings. A change sets the level of the logger; as a filter of a handler each switch acts for itself.

    Thread-safe.

    Parameters
    ----------
    logger : logging.Logger or None
        None: Sonic's own. Its level is what the settings begin with.
    initial : mapping of str to bool, int or str
        Settings that begin with something else.
    formats : bool
        Whether what writes the log can change its format.
    """

    def __init__(
        self,
        logger: logging.Logger | None = None,
        initial: Mapping[str, Setting] | None = None,
        *,
        formats: bool = False,
    ) -> None:
        super().__init__()
        self._formats = formats
        self._logger = logger or logging.getLogger("sonic")
        self._lock = threading.Lock()
        enabled = self._logger.isEnabledFor
        self._settings: dict[str, Setting] = {
            "log_file": "",
            "log_info": enabled(logging.INFO),
            "log_warning": enabled(logging.WARNING),
            "log_error": enabled(logging.ERROR),
            "log_verbose_level": int(enabled(logging.DEBUG)),
            "log_format": "default",
            **(initial or {}),
        }

    def read(self) -> dict[str, Setting]:
        """Return every setting by its name in the protocol."""
        with self._lock:
            return dict(self._settings)

    def update(self, changes: Mapping[str, Setting]) -> dict[str, Setting]:
        """Change some, or none if one of them makes no sense, and return all.

        Raises
        ------
        InvalidRequest
            If there is no such setting, or not that value of it.
        Unsupported
            If it is one that clients may not change.
        """
        for name, value in changes.items():
            self._check(name, value)
        with self._lock:
            self._settings.update(changes)
            if changes:
                self._logger.setLevel(self._level())
            return dict(self._settings)

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is wanted, by the switch of its own level."""
        settings = self._settings
        if record.levelno >= logging.ERROR:
            return bool(settings["log_error"])
        if record.levelno >= logging.WARNING:
            return bool(settings["log_warning"])
        return bool(settings["log_info" if record.levelno >= logging.INFO else "log_verbose_level"])

    def _check(self, name: str, value: Setting) -> None:
        if name not in self._settings:
            raise InvalidRequest(f"no log setting {shown(name)}: there is {', '.join(self._settings)}")
        if name == "log_file" and value != self._settings[name]:
            raise Unsupported(f"{name}: log file location can not be updated through network protocol")
        if name in _SWITCHES and not isinstance(value, bool):
            raise InvalidRequest(f"log setting {name} is true or false, given {shown(value)}")
        if name == "log_verbose_level" and (
            isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**32
        ):
            raise InvalidRequest(f"log setting {name} is a number from 0 to {2**32 - 1}, given {shown(value)}")
        if name == "log_format":
            if value not in _FORMATS:
                raise InvalidRequest(f"log setting {name} is {' or '.join(_FORMATS)}, given {shown(value)}")
            if value != self._settings[name] and not self._formats:
                raise Unsupported("log_format is for the server's command line, not for clients")

    def _level(self) -> int:
        if self._settings["log_verbose_level"]:
            return logging.DEBUG
        levels = zip(_SWITCHES, (logging.INFO, logging.WARNING, logging.ERROR), strict=True)
        return next((level for name, level in levels if self._settings[name]), _SILENT)
