"""``sonic models check`` and ``sonic models checksum``."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from sonic.cli.models._place import connected, folder_of, is_url, places

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sonic.protocol.digests import FileDigest
    from sonic.protocol.facts import Finding

_COLOURS = {"error": "red", "note": "yellow", "ok": "green"}


def check(
    place: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER|URL",
            help="A folder of models, a model's folder, or a server: grpc://host:8001.",
            show_default=False,
            autocompletion=places,
        ),
    ],
    server: Annotated[
        str | None, typer.Option(metavar="URL", help="Compare with what this server has of the models, too.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Say what is wrong with models before they are served; exit with 1 if something is.

    Models are loaded and warmed up as a server would, on this machine.
    """
    from sonic.client.url import parse_server
    from sonic.errors import ConfigError

    if is_url(place):
        from sonic.client.remote import check as check_server

        if server is not None:
            raise ConfigError(f"--server goes with a folder to compare, given the server {place}")
        with connected(parse_server(place)) as transport:
            names, findings = check_server(transport)
    else:
        from sonic.server.models.inspection import inspect, models_in

        folders = models_in(folder_of(place))
        names = tuple(folder.resolve().name for folder in folders)
        findings = tuple(finding for folder in folders for finding in inspect(folder)[1])
        if server is not None:
            from sonic.client.identity import LocalCopy
            from sonic.client.remote import compare

            with connected(parse_server(server)) as transport:
                findings += compare(transport, LocalCopy(folders[0].resolve().parent), names)
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        _print(names, findings)
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(1)


def checksum(
    place: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER", help="A folder of models, or a model's.", show_default=False, autocompletion=places
        ),
    ],
    write: Annotated[bool, typer.Option("--write", help="Write the digests into each config.pbtxt.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Exit with 1 unless every file is what its checksum says.")
    ] = False,
    algorithm: Annotated[
        str | None,
        typer.Option(
            metavar="MD5|SHA256",
            help="Triton knows MD5 alone.",
            show_default="MD5",
            autocompletion=lambda: ["MD5", "SHA256"],
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="With --write, also where a file has changed.")] = False,
) -> None:
    """Show, write or verify the digests of the files of models.

    They stand in config.pbtxt where Triton's checksum agent has them. A server loads no model whose files are others,
    and a client uses no server whose are. Exit with 1 if those of a model cannot be read or written.
    """
    from sonic.errors import ConfigError, SonicError
    from sonic.protocol.checksums import ALGORITHMS, DEFAULT_ALGORITHM
    from sonic.protocol.digests import store, survey
    from sonic.server.models.inspection import models_in

    if write and verify:
        raise ConfigError("--write and --verify do not go together")
    if force and not write:
        raise ConfigError("--force goes with --write")
    if algorithm is not None and algorithm.upper() not in ALGORITHMS:
        raise ConfigError(f"--algorithm {algorithm}: one of {', '.join(ALGORITHMS)}")
    chosen = None if algorithm is None else algorithm.upper()
    failed = False
    for folder in models_in(folder_of(place)):
        name = folder.resolve().name
        try:
            if write:
                store(folder, chosen, force=force)
            rows = survey(folder, chosen or DEFAULT_ALGORITHM)
        except SonicError as error:  # the other models are none the worse for it
            typer.echo(f"{name}: {typer.style('error', fg=_COLOURS['error'])}: {error}", err=True)
            failed = True
            continue
        for row in rows:
            typer.echo(_line(name, row))
        failed = failed or (verify and any(row.state != "ok" for row in rows))
    if failed:
        raise typer.Exit(1)


def _line(model: str, row: FileDigest) -> str:
    state = {"missing": "not stored", "ok": "ok"}.get(row.state, f"{row.state}, stored is {row.stored}")
    colour = {"ok": "green", "missing": "yellow"}.get(row.state, "red")
    digest = row.found or "-" * len(row.stored)
    return f"{digest}  {row.algorithm}  {model}/{row.path}  {typer.style(state, fg=colour)}"


def _print(names: Sequence[str], findings: Sequence[Finding]) -> None:
    for name in dict.fromkeys((*names, *(finding.model for finding in findings))):
        own = [finding for finding in findings if finding.model == name]
        if not any(finding.level == "error" for finding in own):
            typer.echo(f"{name}: {typer.style('ok', fg=_COLOURS['ok'])}")
        for finding in own:
            typer.echo(f"{name}: {typer.style(finding.level, fg=_COLOURS[finding.level])}: {finding.text}")
