"""``sonic top``: a server's models, live."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sonic.monitor.watch import Screen


def top(
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL", help="The metrics, http://host:8002/metrics, or the server: host:port of any of its ports."
        ),
    ] = "127.0.0.1:8002",
    interval_s: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 1.0,
    once: Annotated[
        bool, typer.Option("--once", help="Show one interval and exit; so it does where the output is no terminal.")
    ] = False,
) -> None:
    """Show a server's models: rate, batch size, latency, queue.

    Works with every server that exports Triton's metrics. Ctrl-C ends it.
    """
    import contextlib
    import time

    from rich.console import Console
    from rich.live import Live

    from sonic.errors import DataError, Unavailable
    from sonic.monitor.endpoint import Endpoint
    from sonic.monitor.view import render
    from sonic.monitor.watch import Watch

    console, watch = Console(), Watch()
    with Endpoint(url) as endpoint:

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
        with contextlib.suppress(KeyboardInterrupt), Live(console=console, auto_refresh=False, screen=True) as live:
            while True:
                live.update(render(look(), endpoint.url), refresh=True)
                time.sleep(interval_s)
