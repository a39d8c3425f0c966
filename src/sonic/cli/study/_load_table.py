"""What ``sonic study load`` shows while it measures, and at its end."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from sonic.study.records import counted, digits, server_cpu, written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from sonic.study.load.windows import Glance
    from sonic.study.records import Estimate, Record, ServerWindow

_MODULE = "module_s."
_QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}


@contextmanager
def live(console: Console, load: str) -> Iterator[Callable[[Glance], None] | None]:
    """Keep a line with the figures of the moment, on a terminal."""
    if not console.is_terminal:
        yield None
        return
    with console.status(escape(f"{load}: starting")) as line:
        yield lambda glance: line.update(escape(f"{load}: {_now(glance)}"))


def _now(glance: Glance) -> Text:
    from sonic.study.histogram import quantile

    recent, words = glance.recent, [glance.phase, f"{glance.recent.rate:,.0f}/s"]
    if latencies := recent.latencies.latencies():
        words += [f"{name} {_ms(quantile(latencies, _QUANTILES[name]))}" for name in ("p50", "p99")]
    if recent.errors:
        words.append(f"{recent.errors} failed: {recent.error}")
    elif glance.windows:
        words.append(f"window {glance.windows + 1}{f', not yet stable: {glance.trouble}' if glance.trouble else ''}")
    return Text(", ".join(words), no_wrap=True, overflow="ellipsis")


def show(record: Record, console: Console) -> None:
    """Print what was measured."""
    said = ", ".join(f"{name.replace('_', ' ')} {written(value)}" for name, value in record.settings.items())
    console.print(
        f"[bold]{escape(record.target)}[/bold] {record.status}: {escape(said)}", highlight=False, soft_wrap=True
    )
    if record.reason:
        console.print(record.reason, markup=False, highlight=False, soft_wrap=True)
    if record.throughput is not None:
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        for name, text in _rows(record):
            table.add_row(escape(name), escape(text))
        console.print(table, highlight=False)


def _rows(record: Record) -> Iterator[tuple[str, str]]:
    from sonic.study.histogram import quantile

    windows = record.windows
    one, row = (many.removesuffix("s") for many in counted([record]))
    yield f"{one}s/s", _estimate(record.throughput)
    yield f"{row}s/s", _estimate(record.row_rate)
    if latencies := record.latencies:
        yield "latency", f"mean {_ms(latencies.mean_s)}, largest {_ms(latencies.most_s)}"
        yield "", ", ".join(f"{name} {_ms(quantile(latencies, part))}" for name, part in _QUANTILES.items())
    if "cpu_s" in record.details:
        yield "CPU of the jobs", f"{_ms(record.details['cpu_s'])} an event"
    for name, seconds in record.details.items():
        if name.startswith(_MODULE):
            yield f"module {name.removeprefix(_MODULE)}", f"{_ms(seconds)} an event"
    requests, duration_s = sum(window.requests for window in windows), sum(window.duration_s for window in windows)
    servers = [window.server for window in windows if window.server is not None]
    if servers:
        yield "in the server", _means(servers, "queue", "infer")
        yield "", _means(servers, "input", "output")
    rows = sum(window.rows for window in windows) / requests
    executions = sum(server.executions for server in servers)
    by_server = f"{digits(sum(server.rows for server in servers) / executions)} an execution" if executions else ""
    by_client = f"{digits(rows)} a {one}"
    if row == "row":
        yield "rows", ", ".join(filter(None, (by_client, by_server)))
    else:  # what a workflow's models have as rows may be jets as well as events
        yield f"{row}s", by_client
        if by_server:
            yield "rows", by_server
    client_s = sum(window.client_cpu_s for window in windows)
    yield "CPU of the load", f"{_ms(client_s / requests)} a {one}, {client_s / duration_s:.0%} of a core"
    if used := server_cpu(record):
        yield "CPU of the server", f"{_ms(used[0])} a {'request' if servers else one}, {used[1]:.0%} of a core"
    use = [server.gpu_use for server in servers if server.gpu_use is not None]
    if use:
        yield "GPUs of the server", f"busy {sum(use) / len(use):.0%} of the time"
    sent, received = (sum(getattr(w, f"bytes_{way}") for w in windows) for way in ("sent", "received"))
    if sent or received:
        yield "tensors", f"{sent / duration_s / 1e6:.3g} MB/s sent, {received / duration_s / 1e6:.3g} MB/s received"
    if late := sum(window.late for window in windows):
        yield "late", f"{late:,} requests were sent more than a millisecond after they were due"


def _means(servers: list[ServerWindow], *parts: str) -> str:
    requests = max(sum(server.requests for server in servers), 1)
    totals = {part: sum(getattr(each, f"{part}_s") * each.requests for each in servers) for part in parts}
    return ", ".join(f"{part} {_ms(total / requests)}" for part, total in totals.items())


def _estimate(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:,.4g}"
    half = (estimate.high - estimate.low) / 2
    places = 0 if estimate.value >= 100 else 2
    return f"{estimate.value:,.{places}f} ± {half:,.{places}f}"


def _ms(seconds: float) -> str:
    return f"{digits(1000 * seconds)} ms"
