"""``sonic models list`` and ``sonic models show``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sonic.cli.models._place import connected, folder_of, is_url, places

if TYPE_CHECKING:
    from pathlib import Path

    from sonic.protocol.facts import ModelFacts


def list_(
    place: Annotated[
        str | None,
        typer.Argument(
            metavar="[FOLDER|URL]",
            help="A folder of models, or a server: grpc://host:8001.",
            show_default="the networks that Sonic knows",
            autocompletion=places,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List the models of a folder or of a server; without either the networks that Sonic knows."""
    from sonic.cli._console import open_console
    from sonic.cli.models import _tables
    from sonic.cli.models.zoo import show_networks

    if place is None:
        show_networks(as_json=as_json)
        return
    if is_url(place):
        from sonic.client.remote import listed
        from sonic.client.url import parse_server

        with connected(parse_server(place)) as transport:
            found = listed(transport)
    else:
        from sonic.server.models import inspection

        found = inspection.listed(folder_of(place))
    rows = [facts for facts, _ in found]
    reasons = {facts.name: reason for facts, reason in found if reason}
    if as_json:
        _print_json([_brief(row) | {"reason": reasons.get(row.name, "")} for row in rows])
        return
    console = open_console()
    _tables.show_list(rows, console)
    for name, reason in reasons.items():
        console.print(f"{name}: {reason}", markup=False, highlight=False, soft_wrap=True)


def show(
    place: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER|URL",
            help="A model's folder, a model on a server (grpc://host:8001/model), or a network that ships.",
            show_default=False,
            autocompletion=places,
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    pbtxt: Annotated[
        bool, typer.Option("--pbtxt", help="The configuration alone, completed, as config.pbtxt.")
    ] = False,
) -> None:
    """Show a model: configuration, inputs and outputs, versions, files and checksums."""
    from sonic.cli._console import open_console
    from sonic.cli.models import _tables
    from sonic.errors import ConfigError
    from sonic.protocol.modelconfig import write

    if as_json and pbtxt:
        raise ConfigError("--json and --pbtxt do not go together")
    if is_url(place):
        from sonic.client.remote import served
        from sonic.client.url import parse_model

        address = parse_model(place)
        with connected(address) as transport:
            facts = served(transport, address.model, address.version)
    else:
        facts = _of_folder(folder_of(place))
    if as_json:
        _print_json(facts.document())
    elif pbtxt:
        typer.echo(write(facts.config), nl=False)
    else:
        _tables.show_model(facts, open_console())


def _of_folder(folder: Path) -> ModelFacts:
    from sonic.errors import ConfigError
    from sonic.server.models.inspection import inspect, models_in

    found = models_in(folder)
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise ConfigError(f"{folder} holds several models, name one: {names}")
    facts, findings = inspect(found[0])
    for finding in findings:
        if finding.level == "error":
            typer.secho(f"{finding.model}: {finding.text}", fg="red", err=True)
    return facts


def _brief(facts: ModelFacts) -> dict[str, Any]:
    wanted = ("name", "where", "state", "versions", "backend", "platform", "max_batch_size", "size_bytes", "checksums")
    document = facts.document()
    return {name: document[name] for name in wanted}


def _print_json(document: object) -> None:
    typer.echo(json.dumps(document, indent=2))
