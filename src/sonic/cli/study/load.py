"""``sonic study load``: a load on a server, measured."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads annotations
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sonic.study.load.inputs import Inputs

_SERVER = "grpc://127.0.0.1:8001"
_TENSORS = ".npz"


def _targets(context: typer.Context, incomplete: str) -> list[str]:
    """Complete a model of the server, or the name of a workflow."""
    from sonic.client.url import connect, parse_server
    from sonic.errors import SonicError
    from sonic.framework.workflow import known

    names = list(known())
    try:
        transport = connect(parse_server(context.params.get("server") or _SERVER))
        names += [model.name for model in transport.models(timeout_s=1.0)]
        transport.close()
    except SonicError:  # nobody is there
        pass
    return [name for name in names if name.startswith(incomplete)]


def load(
    target: Annotated[
        str,
        typer.Argument(
            metavar="MODEL|WORKFLOW",
            help="A model of the server; with --input, a workflow's name or file.",
            autocompletion=_targets,
        ),
    ],
    server: Annotated[
        str, typer.Option("--server", "-s", metavar="URL", help="grpc://, http://, grpc+unix:, http+unix:, local: ...")
    ] = _SERVER,
    clients: Annotated[
        int | None,
        typer.Option(
            "--clients", "-c", help="Each sends when it has its answer. Of a workflow: jobs.", show_default="1"
        ),
    ] = None,
    rate: Annotated[
        float | None, typer.Option(help="Requests a second instead, answered or not.", show_default="clients")
    ] = None,
    arrivals: Annotated[
        str,
        typer.Option(
            metavar="poisson|constant",
            help="How those follow each other.",
            autocompletion=lambda: ["poisson", "constant"],
        ),
    ] = "poisson",
    think_s: Annotated[float, typer.Option(help="Seconds that a client waits before its next request.")] = 0.0,
    rows: Annotated[
        int | None, typer.Option(help="Rows of each request.", show_default="1; of a file, all that it has")
    ] = None,
    shape: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME:1,3", help="Whole shape of an input with open dimensions.", show_default="1 each"),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Tensors, .npz, or recorded requests.", show_default="random numbers"),
    ] = None,
    events: Annotated[
        list[str] | None, typer.Option("--input", "-i", metavar="FILE", help="Of a workflow: files with its events.")
    ] = None,
    with_: Annotated[
        list[str] | None, typer.Option("--with", "-w", metavar="KEY=VALUE", help="Options of the workflow.")
    ] = None,
    chunk_size: Annotated[
        int | None, typer.Option(help="Events in a chunk of a job.", show_default="as the workflow says")
    ] = None,
    threads: Annotated[int, typer.Option("--threads", "-t", help="Threads of each job.")] = 1,
    streams: Annotated[
        int | None, typer.Option(help="Chunks in flight in each job.", show_default="8 a thread")
    ] = None,
    processes: Annotated[
        int | None, typer.Option("--processes", "-p", help="Processes that send.", show_default="half of the cores")
    ] = None,
    shared_memory: Annotated[
        bool, typer.Option("--shared-memory", help="Large tensors through memory shared with a server on this host.")
    ] = False,
    warmup_s: Annotated[float, typer.Option(help="Seconds before anything counts.")] = 1.0,
    window_s: Annotated[float, typer.Option(help="Seconds of one repeat.")] = 2.0,
    repeats: Annotated[int, typer.Option(help="Windows in a row that are measured; at least 3 must agree.")] = 3,
    windows: Annotated[
        int | None, typer.Option(help="After so many it is unstable.", show_default="4 times those that must agree")
    ] = None,
    tolerance: Annotated[float, typer.Option(help="By what part of their mean windows may differ.")] = 0.1,
    timeout_s: Annotated[float, typer.Option(help="Seconds after which a request has failed.")] = 30.0,
    metrics: Annotated[
        str, typer.Option(metavar="URL", help="The server's metrics.", show_default="next to its port")
    ] = "",
    server_kind: Annotated[str, typer.Option(metavar="NAME", help="What such a server is called in plans.")] = "",
    seed: Annotated[int, typer.Option(help="Of random arrivals and inputs.")] = 0,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Add the record to this file, as a line.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No live line and no table.")] = False,
) -> None:
    """Put a load on a MODEL of a server, or run a WORKFLOW against it, and measure.

    Ends with 1 if a request failed, or the figures never became stable.

    \b
    Examples:
      sonic study load particlenet-ak4 --clients 16 --rows 20
      sonic study load facile-v2 -s grpc://gpu01:8001 --rate 200 --json points.jsonl
      sonic study load miniaod --input events.root --clients 4
    """
    from msgspec.structs import replace

    from sonic.cli._console import open_console
    from sonic.cli.study._load_table import live, show
    from sonic.errors import ConfigError, SonicError
    from sonic.framework.workflow import known
    from sonic.study.load.jobs import Job
    from sonic.study.load.measure import measure
    from sonic.study.load.settings import LoadSettings, arrivals_of
    from sonic.study.records import failures
    from sonic.study.storage import append, ready

    if rate is not None and clients is not None:
        raise ConfigError("--rate is of an open loop and --clients of a closed one: give one of them")
    if rate is None and arrivals_of(arrivals) != "poisson":
        raise ConfigError("--arrivals is of an open loop, which takes --rate")
    settings = LoadSettings(
        clients=1 if clients is None else clients,
        think_s=think_s,
        rate=rate,
        arrivals=arrivals_of(arrivals),
        rows=1 if rows is None else rows,
        shapes=dict(map(_shape, shape or [])),
        processes=processes,
        shared_memory=shared_memory,
        warmup_s=warmup_s,
        window_s=window_s,
        repeats=repeats,
        windows=windows,
        tolerance=tolerance,
        timeout_s=timeout_s,
        seed=seed,
    )
    if json is not None:
        ready(json, adding=True)
    lacks_events = f"{target} is a workflow: give files with its events by --input"
    if not events and target.endswith(".py"):
        raise ConfigError(lacks_events)
    if events:
        of_models = {"--rows": rows is not None, "--shape": shape, "--data": data, "--shared-memory": shared_memory}
        _refuse(of_models | {"--processes": processes}, "a model, and with --input the target is a workflow")
    else:
        of_jobs = {"--with": with_, "--chunk-size": chunk_size, "--threads": threads != 1, "--streams": streams}
        _refuse(of_jobs, "the jobs of a workflow, which take --input")
    if data is not None:
        _refuse({"--shape": shape}, "random numbers, and --data has shapes of its own")
        of_tensors = {"--rows": rows is not None and data.suffix != _TENSORS}
        _refuse(of_tensors, "random numbers and tensors (.npz), and recorded requests have rows of their own")
    job = Job(target, tuple(events), tuple(with_ or ()), chunk_size, threads, streams) if events else None
    errors = open_console(stderr=True, quiet=quiet)
    with live(errors, f"{target}, {f'{rate:g}/s' if rate else f'{settings.clients} clients'}") as progress:
        record = measure(
            job or target, server, settings, inputs=_inputs(data, rows), metrics=metrics, progress=progress
        )
    if server_kind:
        record = replace(record, settings=record.settings | {"server_kind": server_kind})
    if not quiet and record.status != "failed":
        show(record, open_console())
    if json is not None:
        append(record, json)
    if record.status == "failed":
        raise SonicError(record.reason if events or target not in known() else f"{record.reason}; {lacks_events}")
    if record.status == "interrupted":
        raise KeyboardInterrupt
    if record.status == "unstable" or failures(record):
        if quiet:
            typer.echo(record.reason, err=True)
        raise typer.Exit(1)


def _refuse(given: Mapping[str, object], of: str) -> None:
    from sonic.errors import ConfigError

    for name, value in given.items():
        if value:
            raise ConfigError(f"{name} is of {of}")


def _inputs(data: Path | None, rows: int | None) -> Inputs | None:
    from sonic.study.load.inputs import FileInputs, RecordedInputs

    if data is None:
        return None
    return FileInputs(str(data), rows) if data.suffix == _TENSORS else RecordedInputs(str(data))


def _shape(text: str) -> tuple[str, tuple[int, ...]]:
    name, colon, lengths = text.rpartition(":")
    try:
        if not (colon and name):
            raise ValueError
        return name, tuple(int(length) for length in lengths.split(","))
    except ValueError:
        raise typer.BadParameter(f"expected NAME:1,3, got {text!r}", param_hint="--shape") from None
