"""What ``sonic run`` prints at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from sonic.framework.report import ModuleReport, OffloadReport, Report

_SKIPS_SHOWN = 5
_NAMED_BY = {
    "site": "which the site announces",
    "settings": "as the settings say",
    "site and settings": "which the site announces, or as the settings say",
    "own": "which the job started",
}


def show(result: Report, console: Console) -> None:
    """Print what a job did and took."""
    console.print(_modules(result))
    if any(module.offload for module in result.modules):
        console.print(_offloads(result.modules))
    _show_figures(result, console)
    _show_times(result, console)
    _show_servers(result, console)
    _show_losses(result, console)
    for output in result.outputs:
        console.print(f"{output.path}: {output.events} events", markup=False, highlight=False, soft_wrap=True)


def losses(result: Report) -> list[str]:
    """Say in a line each what did not go as it should: who looks at no table is to know of it, too."""
    lines = []
    if result.skipped:
        events = sum(failure.stop - failure.start for failure in result.skipped)
        lines.append(f"{len(result.skipped)} chunks with {events} events were skipped because a module failed")
    if result.processes_lost:
        lines.append(f"{result.processes_lost} processes were lost, and what they had not finished was done again")
    if result.by_fallback:  # who named servers would think that these have done it
        by_model = ", ".join(f"{count} to {model}" for model, count in result.fallback_models.items())
        lines.append(f"{result.by_fallback} requests were answered by the fallback: {by_model}")
    return lines


def _show_figures(result: Report, console: Console) -> None:
    for module, figures in result.summaries.items():
        console.print(f"[bold]{escape(module)}[/bold]")
        width = max(len(label) for label in figures)
        for label, value in figures.items():
            text = f"{value:.5g}" if type(value) is float else str(value)
            console.print(f"  {label:<{width}}  {text}", markup=False, highlight=False, soft_wrap=True)


def _show_times(result: Report, console: Console) -> None:
    processes = f"{result.processes} processes, " if result.processes > 1 else ""
    console.print(
        f"[bold]{result.events} events in {result.wall_s:.3g} s: {result.rate}[/bold] with {processes}"
        f"{result.threads} threads and {result.streams} streams, {result.cpu_s:.3g} s of CPU, "
        f"peak memory {result.peak_rss_bytes / 2**20:.0f} MiB",
        highlight=False,
    )
    if result.together_s:
        console.print(f"{result.together_s:.3g} s with several requests of one chunk on their way", highlight=False)
    if result.events_before:
        console.print(f"{result.events_before} of the events were finished before the restart", highlight=False)
    if result.hidden_fraction is not None:
        console.print(
            f"{100 * result.hidden_fraction:.0f} % of {result.external_s:.3g} s external time hidden behind other work",
            highlight=False,
        )


def _show_servers(result: Report, console: Console) -> None:
    if result.servers and result.servers_named_by in _NAMED_BY:
        urls = ", ".join(server.url for server in result.servers)
        text = f"models on {urls}, {_NAMED_BY[result.servers_named_by]}"
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    for server in result.servers:
        if server.failed:
            console.print(f"[yellow]{escape(server.url)} failed on {server.failed} requests[/yellow]", highlight=False)
        if server.in_memory or server.wire_reason:  # else it was not ready by the time the job ended
            why = f": {escape(server.wire_reason)}" if server.wire_reason else ""
            console.print(
                f"{escape(server.url)} had {server.in_memory} large requests through shared memory, "
                f"{server.over_wire} over the wire{why}",
                highlight=False,
                soft_wrap=True,
            )


def _show_losses(result: Report, console: Console) -> None:
    for failure in result.skipped[:_SKIPS_SHOWN]:
        console.print(
            f"[yellow]skipped[/yellow] chunk {failure.chunk}, {escape(failure.file)} entries "
            f"{failure.start}:{failure.stop}: module {escape(failure.module)}: {escape(failure.error)}",
            highlight=False,
            soft_wrap=True,
        )
    for line in losses(result):
        console.print(f"[yellow]{escape(line)}[/yellow]", highlight=False, soft_wrap=True)


def _modules(result: Report) -> Table:
    title = f"{escape(result.workflow)}, {result.mode}"
    table = _table("module", "events", "CPU", "share", title=title, title_justify="left")
    for module in result.modules:
        events = str(module.events) if module.passed is None else f"{module.passed}/{module.events}"
        table.add_row(escape(module.name), events, f"{module.cpu_s:.3f} s", f"{100 * result.share(module):.0f} %")
    return table


def _offloads(modules: Sequence[ModuleReport]) -> Table:
    # A table of its own: beside the other columns the names would not fit into a terminal.
    table = _table("offload", "external", "hidden", "requests", "bytes", "batch")
    for module in modules:
        if module.offload is not None:
            table.add_row(escape(module.name), *_cells(module.offload))
    return table


def _table(first: str, *columns: str, **options: Any) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=0, show_edge=False, **options)
    table.add_column(first, overflow="fold")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _cells(offload: OffloadReport) -> tuple[str, ...]:
    hidden = f"{100 * offload.hidden_s / offload.external_s:.0f} %" if offload.external_s else ""
    server = (
        "" if offload.server is None or not offload.server.executions else f" ({_count(offload.server.mean_batch)})"
    )
    return (
        f"{offload.external_s:.3f} s",
        hidden,
        str(offload.requests),
        _bytes(offload.bytes_sent + offload.bytes_received),
        f"{_count(offload.batch_mean)}{server}",
    )


def _count(number: float) -> str:
    for unit in ("", "k"):
        if number < 999.5:
            return f"{number:.3g}{unit}"
        number /= 1000
    return f"{number:.3g}M"


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
