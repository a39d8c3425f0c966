"""What is shown of simulated records. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sonic.study.histogram import quantile
from sonic.study.records import digits, written

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sonic.study.records import Estimate, Record, ServerWindow, Setting

_ALWAYS = ("clients", "jobs", "rate")


def varied(records: Sequence[Record]) -> list[str]:
    """Return the settings that differ among records, and how many ask."""
    names = dict.fromkeys(name for record in records for name in record.settings)
    return [name for name in names if name in _ALWAYS or len({record.settings.get(name) for record in records}) > 1]


def row(record: Record, names: Sequence[str]) -> list[str]:
    """Return these settings as text."""
    return [_setting(record.settings.get(name)) for name in names]


def _setting(value: Setting | None) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else written(value)


def _estimate(value: Estimate | None) -> str:
    if value is None:
        return ""
    error = "" if value.high is None else f" ± {digits(value.high - value.value, 2)}"
    return f"{digits(value.value, 5)}{error}"


def _latency(record: Record, part: float | None) -> str:
    if record.latencies is None:
        return ""
    latency_s = record.latencies.mean_s if part is None else quantile(record.latencies, part)
    return _ms(latency_s, 4)


def _ms(seconds: float, most: int = 3) -> str:
    return "<0.001" if 0 < seconds < 1e-6 else digits(1e3 * seconds, most)


def _server(record: Record, what: Callable[[ServerWindow], float | None]) -> float | None:
    values = [what(window.server) for window in record.windows if window.server is not None]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _cell(value: float | None, write: Callable[[float], str]) -> str:
    return "" if value is None else write(value)


def _detail(name: str) -> Callable[[Record], str]:
    return lambda record: digits(record.details[name], 4) if name in record.details else ""


COLUMNS: dict[str, Callable[[Record], str]] = {
    "requests/s": lambda record: "" if "jobs" in record.settings else _estimate(record.throughput),
    "events/s": lambda record: _estimate(record.row_rate) if "jobs" in record.settings else "",
    "events/s\nof a job": _detail("events_per_s_per_job"),
    "module\n(s)": _detail("module_s"),
    "latency\n(ms)": lambda record: _latency(record, None),
    "p99\n(ms)": lambda record: _latency(record, 0.99),
    "queue\n(ms)": lambda record: _cell(_server(record, lambda server: server.queue_s), _ms),
    "rows\na batch": lambda record: _cell(_server(record, lambda server: server.batch_rows), digits),
    "GPU\nbusy": lambda record: _cell(_server(record, lambda server: server.gpu_use), "{:.0%}".format),
    "servers": _detail("servers_mean"),
    "failed": lambda record: str(errors) if (errors := sum(window.errors for window in record.windows)) else "",
}
"""By heading, what is shown of a record; nothing where it has none."""
