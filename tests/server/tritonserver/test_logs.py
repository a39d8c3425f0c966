from __future__ import annotations

import logging
import re
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from sonic.errors import ConfigError
from sonic.server.tritonserver.flags import Settings
from sonic.server.tritonserver.logs import TritonFormatter, set_up

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root, sonic = logging.getLogger(), logging.getLogger("sonic")
    handlers, levels = root.handlers[:], (root.level, sonic.level)
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    sonic.setLevel(levels[1])


def record(level: int, text: str = "Started", created_s: float = 0.25, **more: Any) -> logging.LogRecord:
    made = logging.LogRecord("sonic", level, "/somewhere/main.py", 42, text, (), more.get("exc_info"))
    made.created, made.process = created_s, 7
    return made


@pytest.mark.parametrize(
    ("level", "letter"), [(logging.DEBUG, "I"), (logging.INFO, "I"), (logging.WARNING, "W"), (logging.CRITICAL, "E")]
)
def test_a_line_has_triton_s_form(level: int, letter: str) -> None:
    created_s = datetime(2026, 1, 3, 4, 5, 6, 70).timestamp()
    assert TritonFormatter().format(record(level, created_s=created_s)) == (
        f"{letter}0103 04:05:06.000070 7 main.py:42] Started"
    )
    assert TritonFormatter(lambda: True).format(record(level)) == (
        f"1970-01-01T00:00:00Z {letter} 7 main.py:42] Started"
    )


def test_a_traceback_follows_its_line() -> None:
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        text = TritonFormatter().format(record(logging.ERROR, "no", exc_info=sys.exc_info()))
    assert re.match(r"E\d{4} .*\] no\nTraceback", text)
    assert text.endswith("ZeroDivisionError")


@pytest.mark.parametrize(
    ("settings", "seen"),
    [
        (Settings(), ["info", "warning", "error"]),
        (Settings(log_verbose=1), ["debug", "info", "warning", "error"]),
        (Settings(log_info=False), ["warning", "error"]),
        (Settings(log_warning=False), ["info", "error"]),
        (Settings(log_error=False), ["info", "warning"]),
    ],
)
def test_each_level_has_its_switch(settings: Settings, seen: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    set_up(settings)
    for level in ("debug", "info", "warning", "error"):
        getattr(logging.getLogger("sonic.server"), level)(level)
    assert [line.rpartition(" ")[2] for line in capsys.readouterr().err.splitlines()] == seen


def test_clients_change_the_form(capsys: pytest.CaptureFixture[str]) -> None:
    settings = set_up(Settings(log_iso8601=True))
    assert settings.update({"log_format": "default"})["log_format"] == "default"
    logging.getLogger("sonic").info("Started")
    assert re.match(r"I\d{4} ", capsys.readouterr().err)


def test_to_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    set_up(Settings(log_file=str(tmp_path / "log")))
    logging.getLogger("sonic").info("Started")
    assert (tmp_path / "log").read_text().endswith("Started\n")
    assert capsys.readouterr().err == ""


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--log-file .*/no/log: No such file"):
        set_up(Settings(log_file=str(tmp_path / "no" / "log")))
