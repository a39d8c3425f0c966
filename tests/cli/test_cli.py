"""What is common to all verbs."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import typer
from typer.testing import CliRunner

import sonic
from sonic import cli
from sonic.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable


def test_help_names_the_verbs() -> None:
    done = CliRunner().invoke(cli.app, ["--help"])
    assert done.exit_code == 0
    assert "serve" in done.stdout
    assert "--install-completion" in done.stdout


def test_version() -> None:
    done = CliRunner().invoke(cli.app, ["--version"])
    assert (done.exit_code, done.stdout) == (0, f"sonic {sonic.__version__}\n")


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, contextlib, io, sonic.cli\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "    sonic.cli.app(['--help'])\n"
        "print(sorted({'numpy', 'onnxruntime', 'awkward', 'grpc', 'uproot', 'uvicorn', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (DataError("events.root is truncated"), 1, "sonic: events.root is truncated\n"),
        (KeyboardInterrupt(), 130, "sonic: interrupted\n"),
    ],
)
def test_an_error_is_one_line(error: BaseException, code: int, text: str) -> None:
    def verb(count: int = 1) -> None:
        raise error

    done = CliRunner().invoke(_app(verb), ["--count", "2"])
    assert (done.exit_code, done.stdout, done.stderr) == (code, "", text)


def test_with_debug_it_is_not_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli._tracebacks, "shown", True)

    def verb() -> None:
        raise DataError("no")

    assert isinstance(CliRunner().invoke(_app(verb), []).exception, DataError)


def test_what_nobody_expects_is_a_traceback() -> None:
    def verb() -> None:
        raise ZeroDivisionError

    assert isinstance(CliRunner().invoke(_app(verb), []).exception, ZeroDivisionError)


def _app(verb: Callable[..., None]) -> typer.Typer:
    app = typer.Typer()
    app.command()(cli._reported(verb))
    return app
