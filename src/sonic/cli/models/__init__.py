"""``sonic models``: the networks that Sonic knows, and whatever model is in a folder or on a server."""

from __future__ import annotations

import typer

from sonic.cli._verbs import Verbs
from sonic.cli.models.check import check, checksum
from sonic.cli.models.look import list_, show
from sonic.cli.models.zoo import build

models = typer.Typer(cls=Verbs, help="Models: list, show, check, checksum, build.", no_args_is_help=True)
models.command("list")(list_)
models.command()(show)
models.command()(check)
models.command()(checksum)
models.command()(build)
