"""The command ``sonic``: one file a verb, no logic.

A file ``cli/VERB.py`` holds a function ``VERB``, or a :class:`typer.Typer` of that name for a verb with verbs of its
own. What a verb needs beyond the standard library and typer it imports when it runs, so that ``sonic --help`` is quick.
"""

from __future__ import annotations

import functools
import io
import os
import sys
from importlib import import_module
from pkgutil import iter_modules
from traceback import walk_tb
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sonic.cli._signals import TERMINATED, Terminated
from sonic.cli._verbs import Verbs
from sonic.errors import SonicError
from sonic.version import __version__, is_compiled

if TYPE_CHECKING:
    from collections.abc import Callable

INTERRUPTED = 130
"""Exit code after Ctrl-C, as of a process that SIGINT ended."""

_ORDER = ("run", "serve", "top", "models", "train", "generate", "study", "firmware")


class _Verbs(Verbs):
    """Reports what fails in any verb, and while the command line is parsed."""

    def make_context(self, *args: Any, **options: Any) -> Any:
        return _reported(super().make_context)(*args, **options)

    def invoke(self, ctx: Any) -> Any:
        return _reported(super().invoke)(ctx)


app = typer.Typer(
    name="sonic",
    cls=_Verbs,
    help="Heavy algorithms of event processing, on coprocessors that run as a service.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # whose table cuts the names of options off where a terminal has 80 columns
)


class _Tracebacks:
    shown = False


_tracebacks = _Tracebacks()


def main() -> None:
    """Run the command line."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files, on a terminal without their letters
    app(prog_name="sonic")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sonic {__version__}{' (compiled)' if is_compiled() else ''}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback when something fails.")] = False,
    version: Annotated[  # noqa: ARG001 - its callback does it
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    _tracebacks.shown = debug


def _reported(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Make of an error one line on stderr and exit code 1, of Ctrl-C 130; typer makes 2 of a wrong command line.

    An error of the operating system is one that nobody expected, unless it came from writing to stdout.
    """

    @functools.wraps(verb)
    def reported(*args: Any, **options: Any) -> Any:
        try:
            return verb(*args, **options)
        except (SonicError, KeyboardInterrupt, OSError) as error:
            says, code = str(error), 1
            if isinstance(error, KeyboardInterrupt):
                says, code = "interrupted", INTERRUPTED
                if isinstance(error, Terminated):
                    says, code = "terminated", TERMINATED
            elif isinstance(error, OSError):
                if isinstance(error, BrokenPipeError) or not _from_printing(error):
                    raise
                _silence_stdout()
                says = f"cannot write to standard output: {error.strerror}"
            if _tracebacks.shown:
                raise
            typer.echo(f"sonic: {says}", err=True)
            raise typer.Exit(code) from error

    return reported


def _from_printing(error: OSError) -> bool:
    """Whether it was raised by one of the two packages that print."""
    frame = next(reversed(list(walk_tb(error.__traceback__))))[0]
    return frame.f_globals["__name__"].partition(".")[0] in ("rich", "typer")


def _silence_stdout() -> None:
    """Let what stdout still holds go nowhere, or the interpreter would try to write it at its end, and complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _register(verb: str) -> None:
    found = getattr(import_module(f"{__name__}.{verb}"), verb)
    if isinstance(found, typer.Typer):
        app.add_typer(found, name=verb)
    else:
        app.command(verb, cls=getattr(found, "command_class", None))(found)


_verbs = [module.name for module in iter_modules(__path__) if not module.name.startswith("_")]
for _verb in sorted(_verbs, key=lambda verb: (_ORDER.index(verb) if verb in _ORDER else len(_ORDER), verb)):
    _register(_verb)
