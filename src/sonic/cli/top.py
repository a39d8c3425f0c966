"""``sonic top``: a server's models, live."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads annotations
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sonic.monitor.watch import Screen


def top(
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL",
            help="The metrics, http://host:8002/metrics, or the server: host:port of HTTP or the metrics, or of gRPC "
            "if the metrics have the next one.",
        ),
    ] = "127.0.0.1:8002",
    interval_s: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 1.0,
    once: Annotated[
        bool, typer.Option("--once", help="Show one interval and exit; so it does where the output is no terminal.")
    ] = False,
    token: Annotated[
        str | None,
        typer.Option(envvar="SONIC_TOKEN", help="Bearer token, for the HTTP port of a server that wants one."),
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="The same, from a file: no list of processes shows it.")
    ] = None,
    ca: Annotated[
        Path | None, typer.Option(help="Authorities of an https server's certificate, PEM; by default the system's.")
    ] = None,
) -> None:
    """Show a server's models: rate, batch size, latency, queue.

    Works with every server that exports Triton's metrics. Ctrl-C ends it.
    """
    import contextlib
    import time

    from rich.live import Live

    from sonic.cli._console import open_console
    from sonic.cli._signals import terminable
    from sonic.errors import ConfigError, DataError, Unavailable
    from sonic.monitor.endpoint import Endpoint
    from sonic.monitor.view import render
    from sonic.monitor.watch import Watch

    if token_file is not None:
        try:
            token = token_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise ConfigError(f"cannot read --token-file {token_file}: {reason}") from error
    console, watch = open_console(), Watch()
    with Endpoint(url, token=token, ca=ca) as endpoint:

        def look() -> Screen:
            try:
                return watch.answered(endpoint.scrape(), time.monotonic())
            except (Unavailable, DataError) as error:
                return watch.failed(str(error), time.monotonic())

        if once or not console.is_terminal:
            watch.answered(endpoint.scrape(), time.monotonic())
            time.sleep(interval_s)
            console.print(render(watch.answered(endpoint.scrape(), time.monotonic()), endpoint.url))
            return
        live = Live(console=console, auto_refresh=False, screen=True)
        with contextlib.suppress(KeyboardInterrupt), terminable(), live:
            while True:
                live.update(render(look(), endpoint.url, console.height), refresh=True)
                time.sleep(interval_s)
