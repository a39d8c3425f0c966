from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.testing import CliRunner

from sonic.cli._options import with_options_of


def other(
    name: str,
    port: Annotated[int, typer.Option(help="Where.", min=0)] = 8,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say less.")] = False,
) -> None:
    raise AssertionError((name, port, quiet))


def test_a_command_has_its_own_options_and_those_of_another() -> None:
    app, given = typer.Typer(), []

    @app.command()
    @with_options_of(other, without="name")
    def command(places: list[str], key: Annotated[str, typer.Option(help="Which.")] = "a", **options: Any) -> None:
        given.append((places, key, options))

    run = CliRunner()
    assert run.invoke(app, ["x", "y", "--port", "3", "--key", "b"]).exit_code == 0
    assert run.invoke(app, ["x", "--quiet"]).exit_code == 0
    assert given == [(["x", "y"], "b", {"port": 3, "quiet": False}), (["x"], "a", {"port": 8, "quiet": True})]
    assert run.invoke(app, ["x", "--port", "-1"]).exit_code == 2
    assert run.invoke(app, ["x", "--name", "n"]).exit_code == 2
