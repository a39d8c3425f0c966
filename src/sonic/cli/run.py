"""``sonic run``: a workflow over event files."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from sonic.client.fallback import Fallback
    from sonic.framework.output import Progress
    from sonic.framework.targets import Target
    from sonic.framework.workflow import Workflow


class ManyValues(TyperCommand):
    """A command whose repeatable options take several values in one go: ``--input a.root b.root``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Give each value the option's name, and parse."""
        names = {name for parameter in self.params if getattr(parameter, "multiple", False) for name in parameter.opts}
        return super().parse_args(ctx, expand(args, names))


def expand(args: Sequence[str], names: set[str]) -> list[str]:
    """Repeat an option's name for each of the values that follow it, up to the next option."""
    expanded: list[str] = []
    current, given = "", True
    for at, arg in enumerate(args):
        if arg == "--":
            return [*expanded, *([] if given else [current]), *args[at:]]
        if arg.startswith("-") and arg != "-":
            if not given:
                expanded.append(current)  # without a value: left to the parser, which says so
            name, has_value, _ = arg.partition("=")
            current, given = (name, bool(has_value)) if name in names else ("", True)
            if not current or given:
                expanded.append(arg)
        elif current:
            expanded += [current, arg]
            given = True
        else:
            expanded.append(arg)
    return expanded if given else [*expanded, current]


def _workflows() -> list[str]:
    from sonic.framework.workflow import known

    return list(known())


def run(
    workflow: Annotated[
        str,
        typer.Argument(
            metavar="WORKFLOW",
            help="Name of a workflow, or a Python file.",
            show_default=False,
            autocompletion=_workflows,
        ),
    ],
    inputs: Annotated[
        list[str],
        typer.Option("--input", "-i", metavar="FILE...", help="ROOT files or URLs."),
    ],
    with_: Annotated[
        list[str] | None,
        typer.Option("--with", "-w", metavar="KEY=VALUE...", help="Options of the workflow.", show_default=False),
    ] = None,
    output: Annotated[
        list[Path] | None, typer.Option("--output", "-o", metavar="FILE...", help="Files: .root or .parquet.")
    ] = None,
    server: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL...",
            help="Servers to use, e.g. grpc://host:8001.",
            show_default="the site's or the settings', else one of its own",
        ),
    ] = None,
    mode: Annotated[
        str,
        typer.Option(
            metavar="service|direct",
            help="direct: models run in the job's threads, without a server.",
            autocompletion=lambda: ["service", "direct"],
        ),
    ] = "service",
    offload: Annotated[
        str,
        typer.Option(
            metavar="async|sync|pseudo_async",
            help="How a module waits for its model.",
            autocompletion=lambda: ["async", "sync", "pseudo_async"],
        ),
    ] = "async",
    threads: Annotated[
        int | None, typer.Option("--threads", "-t", help="Modules that run at once.", show_default="the cores")
    ] = None,
    streams: Annotated[
        int | None,
        typer.Option("--streams", "-s", help="Chunks in flight.", show_default="2 a thread, 8 with --server"),
    ] = None,
    processes: Annotated[
        int, typer.Option("--processes", "-p", help="Processes that share the input, the threads and the streams.")
    ] = 1,
    chunk_size: Annotated[
        int | None, typer.Option(help="Events in a chunk.", show_default="as the workflow says, mostly 100")
    ] = None,
    entries: Annotated[
        str | None, typer.Option(metavar="A:B", help="Only these events, counted over all files; B excluded.")
    ] = None,
    repeat: Annotated[int, typer.Option(help="Go over the input so many times.")] = 1,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[FILE=]PATTERN...",
            help="Branches and products to write, to all outputs or to one.",
            show_default="as the workflow says",
        ),
    ] = None,
    filter_output: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[FILE=]mask|pass...",
            help="mask: all events, with a bool a filter. pass: those that pass. For all outputs or for one.",
            show_default="mask",
        ),
    ] = None,
    ordered: Annotated[
        bool, typer.Option("--ordered/--unordered", help="Write in the order of the input, or chunks as they are done.")
    ] = True,
    timeout_s: Annotated[
        float | None, typer.Option(help="Seconds that a request may take.", show_default="no limit")
    ] = None,
    fallback: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Models to run here if no server can be reached.", show_default="the workflow's own"
        ),
    ] = None,
    fallback_in: Annotated[
        str | None,
        typer.Option(
            metavar="inprocess|child|container",
            help="Where to run them; what the container is, the settings say.",
            show_default="inprocess",
            autocompletion=lambda: ["inprocess", "child", "container"],
        ),
    ] = None,
    no_fallback: Annotated[bool, typer.Option("--no-fallback", help="Fail if no server can be reached.")] = False,
    on_error: Annotated[
        str,
        typer.Option(
            metavar="stop|skip|retry:N[,skip]",
            help="When a module fails on a chunk: stop, leave the chunk out, or first try N times more.",
        ),
    ] = "stop",
    restart: Annotated[
        bool, typer.Option("--restart", help="Note what is finished, and go on where an interrupted run ended.")
    ] = False,
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as JSON.")] = None,
    record: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep all requests in a file, for `sonic study replay`.")
    ] = None,
    trace: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a trace for ui.perfetto.dev or chrome://tracing.")
    ] = None,
    timeline: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw streams and modules over time (png, pdf, svg).")
    ] = None,
    graph: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the workflow's modules (svg, dot, txt), before it runs.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar and no table.")] = False,
) -> None:
    """Run WORKFLOW over event files; its heavy modules are offloaded.

    WORKFLOW is the name of an installed one (miniaod), or a Python file that
    defines `workflow`. Without --server the job asks the balancer that the
    site announces (SONIC_LOCAL_BALANCER_HOST and _PORT) and the servers of the
    client's settings; if there are none, it starts a server for the workflow's
    own models and stops it at the end.

    \b
    Examples:
      sonic run miniaod --input events.root --output out.root
      sonic run miniaod -i a.root b.root -o out.root --server grpc://gpu01:8001
      sonic run miniaod -i root://host//file.root -o out.parquet --entries 0:1000
      sonic run my_workflow.py -i events.root --mode direct --timeline run.png
    """
    from sonic.cli import _run_table
    from sonic.cli._console import open_console
    from sonic.cli._run_files import Extras, recording
    from sonic.cli._signals import terminable
    from sonic.framework.job import run as run_job
    from sonic.framework.workflow import load

    loaded = load(workflow, with_ or ())
    extras = Extras(report, trace, timeline, graph, record, others=[workflow, *inputs, *(output or [])])
    extras.draw(loaded)
    with terminable():
        with recording(record, mode), _progress(open_console(stderr=True), quiet=quiet) as progress:
            result = run_job(
                loaded,
                inputs,
                _targets(output or [], keep or [], filter_output or []),
                servers=server or (),
                mode=mode,
                offload_mode=offload,
                threads=threads,
                streams=streams,
                processes=processes,
                chunk_size=chunk_size,
                repeat=repeat,
                entries=_entries(entries),
                ordered=ordered,
                fallback=_fallback(loaded, fallback, fallback_in, no_fallback),
                timeout_s=timeout_s,
                on_error=on_error,
                restart=restart,
                progress=progress,
            )
        extras.write(result)
    if entries is not None and not result.events:
        typer.echo(f"note: --entries {entries} are none of the input's events", err=True)
    if not quiet:
        _run_table.show(result, open_console())
        return
    for line in _run_table.losses(result):
        typer.echo(f"note: {line}", err=True)


run.command_class = ManyValues  # type: ignore[attr-defined]


def _fallback(workflow: Workflow, folder: Path | None, how: str | None, without: bool) -> Fallback | bool:
    from sonic.errors import ConfigError
    from sonic.framework.models import fallback_for

    if without and (folder is not None or how is not None):
        raise ConfigError(f"--no-fallback stands alone: leave it out, or {'--fallback' if folder else '--fallback-in'}")
    if folder is None and how is None:
        return not without
    return fallback_for(workflow, folder, how) or False


def _targets(outputs: Sequence[Path], keep: Sequence[str], filter_output: Sequence[str]) -> list[Target]:
    """Give each output what was said of all, or of it alone: ``FILE=VALUE``."""
    from sonic.errors import ConfigError
    from sonic.framework.targets import Target

    if not outputs and (keep or filter_output):
        raise ConfigError(f"{'--keep' if keep else '--filter-output'} says what to write: give --output too")

    def values(given: Sequence[str], option: str) -> tuple[list[str], dict[Path, list[str]]]:
        shared: list[str] = []
        own: dict[Path, list[str]] = {}
        for text in given:
            file, sign, value = text.rpartition("=")  # a folder's name may have that sign, a branch's has not
            if sign and Path(file) not in outputs:
                raise ConfigError(f"{option} {text}: {file} is not an output of this job")
            (own.setdefault(Path(file), []) if sign else shared).append(value)
        return shared, own

    shared, own = values(keep, "--keep")
    choice, choices = values(filter_output, "--filter-output")
    targets = []
    for path in outputs:
        kept = own.get(path, shared)
        filtered = choices.get(path, choice)
        targets.append(Target(path, tuple(kept) or None, filtered[-1] if filtered else None))
    return targets


def _entries(text: str | None) -> tuple[int | None, int | None]:
    if text is None:
        return None, None
    first, colon, last = text.partition(":")
    try:
        if not colon:
            raise ValueError
        return int(first) if first else None, int(last) if last else None
    except ValueError:
        raise typer.BadParameter(f"expected A:B, A: or :B, got {text!r}", param_hint="--entries") from None


@contextmanager
def _progress(console: Console, *, quiet: bool) -> Iterator[Progress | None]:
    if quiet or not console.is_terminal:
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("events"))
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def advance(done: int, total: int, /) -> None:
            bar.update(task, description="running", completed=done, total=total)

        yield advance
