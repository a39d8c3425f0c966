"""``sonic study replay``: recorded requests, sent again."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads it
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from sonic.study.records import Record


def replay(
    recording: Annotated[Path, typer.Argument(metavar="FILE", help="Of `sonic run --record FILE`.")],
    server: Annotated[
        str, typer.Option(metavar="URL", help="Where to send it.", show_default="nowhere: say what is in it")
    ] = "",
    speed: Annotated[float, typer.Option(help="So many times quicker than it was recorded.")] = 1.0,
    rate: Annotated[float | None, typer.Option(help="Requests a second instead.", show_default="as recorded")] = None,
    clients: Annotated[
        int | None, typer.Option(help="As fast as so many clients can instead.", show_default="as recorded")
    ] = None,
    repeat: Annotated[int, typer.Option(help="Go through it so many times.")] = 1,
    timeout_s: Annotated[float, typer.Option(help="Seconds after which a request has failed.")] = 30.0,
    compare: Annotated[
        str, typer.Option(metavar="URL", help="Another server, whose answers are compared bit for bit.")
    ] = "",
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Add records to a file of JSON lines.")] = None,
) -> None:
    """Send recorded requests again: as they came, at another pace, or to two servers whose answers are compared.

    Ends with 1 if a request failed, or an answer differed or is not there to be compared with.

    \b
    Examples:
      sonic run miniaod -i events.root --record requests
      sonic study replay requests --server grpc://gpu01:8001 --speed 10
      sonic study replay requests --server grpc://new:8001 --compare grpc://old:8001
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from sonic.cli._console import open_console
    from sonic.errors import ConfigError
    from sonic.study import storage
    from sonic.study.recording import Recording
    from sonic.study.replay import Pace
    from sonic.study.replay import replay as play

    if not server:
        paces = {"--speed": speed != 1.0, "--rate": rate is not None, "--clients": clients is not None}
        for name, given in (paces | {"--repeat": repeat != 1, "--compare": compare, "--json": json}).items():
            if given:
                raise ConfigError(f"{name} is of requests that are sent: give --server too")
    read = Recording(recording)
    console = open_console()
    if not server:
        models = ", ".join(f"{count:,} to {model}" for model, count in sorted(read.models.items()))
        text = f"{len(read):,} requests in {read.due_s[-1]:.3g} s, {read.n_bytes / 1e6:,.1f} MB: {models}"
        console.print(text, markup=False)
        return
    if json is not None:
        storage.ready(json, adding=True)
    pace = Pace(speed=speed, rate=rate, clients=clients, repeats=repeat, timeout_s=timeout_s)
    columns = (TextColumn("requests"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=open_console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=len(read) * repeat)
        records = play(read, server, pace, compare=compare, progress=lambda sent, _: bar.update(task, completed=sent))
    _show(records, console)
    if json is not None:
        for record in records:
            storage.append(record, json)
    if any(record.status == "interrupted" for record in records):
        raise KeyboardInterrupt
    if any(_bad(record) for record in records):
        raise typer.Exit(1)


def _bad(record: Record) -> bool:
    from sonic.study.records import failures

    uncompared = record.details.get("different", 0) + record.details.get("unanswered", 0)
    return record.status != "measured" or failures(record) > 0 or uncompared > 0


def _show(records: list[Record], console: Console) -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from sonic.study.histogram import quantile
    from sonic.study.records import digits

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0))
    table.add_column("model", overflow="fold")
    compared = any("compared" in record.details for record in records)
    for column in ("done", "failed", "late", "1/s", "p50 ms", "p99 ms", "queue ms", "batch"):
        table.add_column(column.replace(" ", "\n"), justify="right", no_wrap=True)
    if compared:
        table.add_column("other\nbits", justify="right", no_wrap=True)
    if unanswered := any(record.details.get("unanswered") for record in records):
        table.add_column("no\nanswer", justify="right", no_wrap=True)
    for record in records:
        window = record.windows[0] if record.windows else None
        served = window.server if window else None
        latencies = record.latencies
        table.add_row(
            escape(record.target),
            f"{window.requests:,}" if window else "0",
            f"{window.errors:,}" if window else "",
            f"{window.late:,}" if window else "",
            f"{record.throughput.value:,.1f}" if record.throughput else "",
            digits(1e3 * quantile(latencies, 0.5)) if latencies else "",
            digits(1e3 * quantile(latencies, 0.99)) if latencies else "",
            digits(1e3 * served.queue_s) if served else "",
            digits(served.batch_rows) if served else "",
            *([f"{record.details['different']:.0f} of {record.details['compared']:.0f}"] if compared else []),
            *([f"{record.details['unanswered']:.0f}"] if unanswered else []),
        )
    console.print(table)
    for record in records:
        if record.reason:
            console.print(f"{record.target}: {record.reason}", markup=False)
