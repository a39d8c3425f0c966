"""What is common to all verbs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer
from typer.testing import CliRunner

import sonic
from sonic import cli
from sonic.errors import DataError
from sonic.version import is_compiled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def test_help_names_the_verbs() -> None:
    done = CliRunner().invoke(cli.app, ["--help"])
    assert done.exit_code == 0
    assert "serve" in done.stdout
    assert "--install-completion" in done.stdout


def _commands(group: Any, *words: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield words, group
    for name, command in getattr(group, "commands", {}).items():
        yield from _commands(command, *words, name)


def test_help_has_all_names_and_sentences_in_80_columns() -> None:
    seen = 0
    for words, command in _commands(typer.main.get_command(cli.app)):
        shown = CliRunner().invoke(cli.app, [*words, "--help"], env={"COLUMNS": "80"}).stdout
        assert all(len(line) <= 80 or line.startswith("    sonic ") for line in shown.splitlines()), words
        for parameter in command.params:
            for option in (*parameter.opts, *parameter.secondary_opts):
                seen += option.startswith("--")
                assert option in shown or not option.startswith("-"), (words, option)
        assert "..." not in shown.partition("Commands:")[2], words
    assert seen > 150


def test_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "is_compiled", lambda: False)
    done = CliRunner().invoke(cli.app, ["--version"])
    assert (done.exit_code, done.stdout) == (0, f"sonic {sonic.__version__}\n")


def test_the_version_says_what_is_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_compiled(tmp_path)
    (tmp_path / "server" / "scheduling").mkdir(parents=True)
    (tmp_path / "server" / "scheduling" / "batcher.cpython-311-x86_64-linux-gnu.so").touch()
    assert is_compiled(tmp_path)
    monkeypatch.setattr(cli, "is_compiled", lambda: True)
    assert CliRunner().invoke(cli.app, ["--version"]).stdout == f"sonic {sonic.__version__} (compiled)\n"


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, contextlib, io, sonic.cli\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "    sonic.cli.app(['--help'])\n"
        "heavy = {'numpy', 'onnxruntime', 'awkward', 'grpc', 'uproot', 'uvloop', 'starlette', 'torch'}\n"
        "print(sorted(heavy & set(sys.modules)))"
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


def test_ctrl_c_while_the_command_line_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupting:
        def __format__(self, spec: str) -> str:
            raise KeyboardInterrupt

    monkeypatch.setattr(cli, "__version__", Interrupting())
    done = CliRunner().invoke(cli.app, ["--version"])
    assert (done.exit_code, done.stderr) == (130, "sonic: interrupted\n")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_standard_output_that_is_full(unbuffered: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "sonic", "--version"],
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == b"sonic: cannot write to standard output: No space left on device\n"


def test_a_terminal_that_has_not_all_letters() -> None:
    code = (
        "import sonic.cli, rich.console\n"
        "sonic.cli.app = lambda **_: rich.console.Console().print('\u2603')\n"
        "sonic.cli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"\\u2603\n", b"")


def test_what_nobody_expects_is_a_traceback() -> None:
    for error in (ZeroDivisionError(), FileNotFoundError(2, "No such file")):

        def verb(error: Exception = error) -> None:
            raise error

        with pytest.raises(type(error)):
            cli._reported(verb)()


def _app(verb: Callable[..., None]) -> typer.Typer:
    app = typer.Typer()
    app.command()(cli._reported(verb))
    return app


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("sonic stu", ["study"]),
        ("sonic run mini", ["miniaod", "miniaod-full"]),
        ("sonic run w --mode d", ["direct"]),
        ("sonic run w --offload p", ["pseudo_async"]),
        ("sonic run w --fallback-in c", ["child", "container"]),
        ("sonic serve m --model-control p", ["poll"]),
        ("sonic train n --device c", ["cpu", "cuda"]),
        ("sonic models checksum m --algorithm S", ["SHA256"]),
        ("sonic models build facile-v", ["facile-v2", "facile-v5"]),
        ("sonic models build m out --weights t", ["trained", "table"]),
        ("sonic models build m out --format t", ["torchscript"]),
        ("sonic study scan fac", ["facile"]),
        ("sonic study scan s --again un", ["unstable"]),
        ("sonic study fit f --model mva", ["mva", "mva-instances", "mva-batching"]),
        ("sonic study plot f --y p9", ["p90_ms", "p99_ms"]),
    ],
)
def test_a_shell_completes_names(words: str, expected: list[str]) -> None:
    asked = {"_SONIC_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = CliRunner().invoke(cli.app, env=asked, prog_name="sonic")
    assert done.stdout.split() == expected
