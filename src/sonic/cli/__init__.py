"""The command ``sonic``: one file a verb, no logic.

A file ``cli/VERB.py`` holds a function ``VERB``, or a :class:`typer.Typer` of that name for a verb with verbs of its
own. What a verb needs beyond the standard library and typer it imports when it runs, so that ``sonic --help`` is quick.
"""

from __future__ import annotations

import functools
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sonic import __version__
from sonic.errors import SonicError

if TYPE_CHECKING:
    from collections.abc import Callable

INTERRUPTED = 130
"""Exit code after Ctrl-C, as of a process that SIGINT ended."""

_ORDER = ("run", "serve", "top", "models", "study", "firmware")

app = typer.Typer(
    name="sonic",
    help="Heavy algorithms of event processing, on coprocessors that run as a service.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


class _Tracebacks:
    shown = False


_tracebacks = _Tracebacks()


def main() -> None:
    """Run the command line."""
    app(prog_name="sonic")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sonic {__version__}")
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
    """Make of an error one line on stderr and exit code 1, of Ctrl-C 130; typer makes 2 of a wrong command line."""

    @functools.wraps(verb)
    def reported(*args: Any, **options: Any) -> Any:
        try:
            return verb(*args, **options)
        except (SonicError, KeyboardInterrupt) as error:
            if _tracebacks.shown:
                raise
            interrupted = isinstance(error, KeyboardInterrupt)
            typer.echo(f"sonic: {'interrupted' if interrupted else error}", err=True)
            code = INTERRUPTED if interrupted else 1
            raise typer.Exit(code) from error

    return reported


def _register(verb: str) -> None:
    found = getattr(import_module(f"{__name__}.{verb}"), verb)
    if isinstance(found, typer.Typer):
        for command in found.registered_commands:
            if command.callback is not None:
                command.callback = _reported(command.callback)
        app.add_typer(found, name=verb)
    else:
        app.command(verb, cls=getattr(found, "command_class", None))(_reported(found))


_verbs = [module.name for module in iter_modules(__path__)]
for _verb in sorted(_verbs, key=lambda verb: (_ORDER.index(verb) if verb in _ORDER else len(_ORDER), verb)):
    _register(_verb)
