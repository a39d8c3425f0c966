from __future__ import annotations

import logging

import pytest

from sonic.errors import InvalidRequest, Unsupported
from sonic.server.logsettings import LogSettings


@pytest.fixture
def logger() -> logging.Logger:
    made = logging.Logger("test")
    made.setLevel(logging.WARNING)
    return made


def passes(settings: LogSettings) -> list[int]:
    levels = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)
    records = (logging.LogRecord("x", level, "", 0, "", (), None) for level in levels)
    return [record.levelno for record in records if settings.filter(record)]


def test_it_begins_as_the_logger_is(logger: logging.Logger) -> None:
    settings = LogSettings(logger)
    assert settings.read() == {
        "log_file": "",
        "log_info": False,
        "log_warning": True,
        "log_error": True,
        "log_verbose_level": 0,
        "log_format": "default",
    }
    assert passes(settings) == [30, 40, 50]
    assert LogSettings(logger, {"log_info": True, "log_file": "f"}).read()["log_file"] == "f"
    assert logger.level == logging.WARNING


def test_a_switch_is_for_its_own_level(logger: logging.Logger) -> None:
    settings = LogSettings(logger)
    settings.update({"log_info": True, "log_warning": False})
    assert (logger.level, passes(settings)) == (logging.INFO, [20, 40, 50])
    settings.update({"log_verbose_level": 3, "log_info": False, "log_error": False})
    assert (logger.level, passes(settings)) == (logging.DEBUG, [10])
    settings.update({"log_verbose_level": 0})
    assert (logger.isEnabledFor(logging.CRITICAL), passes(settings)) == (False, [])


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("log_info", 1, InvalidRequest),
        ("log_verbose_level", -1, InvalidRequest),
        ("log_verbose_level", True, InvalidRequest),
        ("log_verbose_level", "1", InvalidRequest),
        ("log_verbose_level", 2**32, InvalidRequest),
        ("log_info", [[{}]], InvalidRequest),
        ("log_format", {}, InvalidRequest),
        ("log_format", "xml", InvalidRequest),
        ("log_format", "ISO8601", Unsupported),
        ("log_file", "/tmp/x", Unsupported),
        ("nope", True, InvalidRequest),
    ],
)
def test_nothing_changes_if_one_setting_is_wrong(name: str, value: object, kind: type, logger: logging.Logger) -> None:
    settings = LogSettings(logger)
    before = settings.read()
    with pytest.raises(kind, match=name):
        settings.update({"log_error": False, name: value})
    assert (settings.read(), logger.level) == (before, logging.WARNING)
