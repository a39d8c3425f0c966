"""A spec simulated, and what is recorded of it: as of a measurement, with ``simulated`` among its settings."""

from __future__ import annotations

import gc
import platform
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from itertools import pairwise
from math import isclose
from time import perf_counter
from typing import TYPE_CHECKING

from msgspec import structs

from sonic.errors import ConfigError, DataError
from sonic.study.histogram import Histogram
from sonic.study.load.stable import estimate, growth
from sonic.study.load.tally import Tally
from sonic.study.machine import this_machine, utc_now
from sonic.study.records import Record, Window
from sonic.study.series import varying
from sonic.study.simulation.calibration import calibrate
from sonic.study.simulation.deployment import STEPS, Deployment
from sonic.study.simulation.specfile import parse, unfold
from sonic.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from sonic.study.records import Setting, Status
    from sonic.study.simulation.spec import Spec


def load(path: Path, over: Mapping[str, tuple[Setting, ...]] | None = None) -> list[tuple[dict[str, Setting], Spec]]:
    """Read a spec from a file; see :func:`~sonic.study.simulation.specfile.parse`.

    Raises
    ------
    DataError
        If it cannot be read.
    ConfigError
    """
    try:
        text = path.read_text()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"cannot read {path}: it is no text") from error
    return parse(text, str(path), over)


def replaced(spec: Spec, *, repeats: int | None = None, seed: int | None = None) -> Spec:
    """Return a spec with other repeats, or another seed; None leaves it as it is."""
    given = {name: value for name, value in (("repeats", repeats), ("seed", seed)) if value is not None}
    return structs.replace(spec, **given)


def simulate(
    spec: Spec, settings: Mapping[str, Setting] | None = None, progress: Callable[[float], object] | None = None
) -> Record:
    """Simulate a deployment, as often as its spec says, and record it.

    Parameters
    ----------
    spec : Spec
    settings : mapping, optional
        What makes this point another one than its neighbours.
    progress : callable, optional
        Told now and then which part is done, 0 to 1.

    Returns
    -------
    Record
        Of clients and arrivals ``throughput`` counts requests and ``row_rate`` rows; of jobs, chunks and events.
        Latencies are of requests. It is ``unstable`` where more of an open loop's requests are due than are answered:
        its figures are then those of the time that was looked at; and where nothing ended in that. It is ``failed``
        where all that ended did. In ``details``: ``module_s.NAME`` (from when a module could begin to its end),
        ``chunk_s``, ``events_per_s_per_job``, ``lost`` chunks, servers where their number changes (``servers_mean``;
        ``servers_from_s.300``, as many from then on), and how fast the simulation was: its ``steps_per_s``.
    """
    started, began_s = utc_now(), perf_counter()
    histogram = Histogram()
    windows: list[Window] = []
    details: list[dict[str, float]] = []
    parts = [Tally(spec.window_s / STEPS) for _ in range(STEPS)]
    rates: list[tuple[float, float]] = []
    steps = 0
    tell: Callable[[float], object] = progress or (lambda part: None)  # noqa: ARG005
    for repeat in range(spec.repeats):
        with _uncollected():
            run = Deployment(spec, spec.seed + repeat)
            run.run(partial(_part_of, tell, repeat, spec.repeats))
        histogram.add(run.observed.latencies_s)
        for part, (first, last) in zip(parts, pairwise((0, *run.observed.parts)), strict=True):
            part.latencies.add(run.observed.latencies_s[first:last])
        windows.append(_window(spec, run))
        details.append(_details(spec, run))
        rates.append(_rates(spec, run))
        steps += run.clock.steps
    took_s = perf_counter() - began_s
    means = {
        name: sum(each[name] for each in details) / len(details)
        for name in details[0]
        if all(name in each for each in details)
    }
    throughputs, row_rates = zip(*rates, strict=True)
    status: Status = "measured"
    reason = ""
    if not any(throughputs):
        status, reason = _nothing(spec, windows, sum(each.get("lost", 0.0) for each in details))
    elif spec.arrivals is not None and (reason := _overloaded(parts, spec.warmup_s)):
        status = "unstable"
    return Record(
        target=spec.target,
        settings={**_settings(spec), **(settings or {}), "simulated": True},
        status=status,
        reason=reason,
        started=started,
        machine=this_machine(),
        versions={"sonic": __version__, "python": platform.python_version(), "simpy": version("simpy")},
        throughput=estimate(throughputs),
        row_rate=estimate(row_rates),
        latencies=histogram.latencies(),
        windows=tuple(windows),
        details=means | {"steps": float(steps), "steps_per_s": steps / took_s, "took_s": took_s},
    )


_ENOUGH_REQUESTS = 10_000
"""In a window, of what was measured."""

_CLIENTS = {"clients", "clients.number"}
"""Axes of the grid that are the number of clients."""


@dataclass(frozen=True)
class Beside:
    """What was simulated, beside what was measured or published.

    Parameters
    ----------
    what : str
        ``"throughput"`` ...
    at : str
        ``"clients=4"``.
    there, here : float
        Measured or published, and simulated.
    """

    what: str
    at: str
    there: float
    here: float

    @property
    def deviation(self) -> float:
        """Part by which the simulation is above."""
        return self.here / self.there - 1


def beside_published(records: Sequence[Record], spec: Spec) -> list[Beside]:
    """Compare a scan with the points of the paper that its spec names; nothing if it names none.

    Raises
    ------
    ConfigError
        If there is no such scan, or what it has on its axes is not simulated.
    """
    if spec.published is None:
        return []
    curve = spec.published.scan()
    found = []
    for x, y in curve.points:
        for record in records:
            here = record.settings.get(curve.x)
            if isinstance(here, int | float) and isclose(here, x):
                if curve.y not in record.details:
                    raise ConfigError(f"{curve.name} is of {curve.y}; a simulation has {', '.join(record.details)}")
                found.append(Beside(curve.y, f"{curve.x}={x:g}", y, record.details[curve.y]))
    return found


def beside_measured(
    records: Sequence[Record], measured: Sequence[Record], over: Collection[str] = ("clients",)
) -> list[Beside]:
    """Compare throughput and mean latency with measurements for as many clients.

    Parameters
    ----------
    records : sequence of Record
        Simulated, as :func:`like` describes what was measured.
    measured : sequence of Record
    over : collection of str
        Axes of the grid that was simulated. If there is another than the clients nothing is compared: that deployment
        was not measured.
    """
    if not _CLIENTS.issuperset(over):
        return []
    found = []
    for record in records:
        clients = record.settings.get("clients")
        for other in measured:
            if other.settings.get("clients") != clients or other.throughput is None or record.throughput is None:
                continue
            found.append(Beside("requests/s", f"clients={clients}", other.throughput.value, record.throughput.value))
            if other.latencies is not None and record.latencies is not None:
                there_s, here_s = other.latencies.mean_s, record.latencies.mean_s
                found.append(Beside("mean latency (s)", f"clients={clients}", there_s, here_s))
    return found


def like(measured: Sequence[Record], over: Mapping[str, tuple[Setting, ...]]) -> list[tuple[dict[str, Setting], Spec]]:
    """Describe the deployment that was measured, by its first and its last point.

    Parameters
    ----------
    measured : sequence of Record
        Of one model, differing in ``clients`` alone. How it was served is what they say.
    over : mapping
        Axes of the grid. Unless one of them is the clients, those that were measured are another.

    Raises
    ------
    DataError
        If they do not do; see :func:`~sonic.study.simulation.calibration.calibrate`.
    ConfigError
    """
    if others := [name for name in varying(measured) if name != "clients"]:
        raise DataError(f"the points of {measured[0].target} differ in {', '.join(others)} too: choose some by --where")
    calibration = calibrate(measured)
    first = measured[0]
    instances, batch = int(first.served("instances", 1)), int(first.served("batch"))
    tree = calibration.tree(first.target, instances=instances, batch=batch, delay_us=first.served("delay_us"))
    rate = max(record.throughput.value for record in measured if record.throughput is not None)
    window_s = min(10.0, max(0.5, _ENOUGH_REQUESTS / rate))  # of quick models more would only take longer
    tree["clients"] |= {"think_s": first.settings.get("think_s", 0.0), "constant": True}
    tree |= {"window_s": window_s, "warmup_s": window_s / 5, "server_kind": first.settings.get("server_kind", "")}
    clients = tuple(sorted({record.settings.get("clients", 1) for record in measured}, key=float))
    axes = over if _CLIENTS & over.keys() else {"clients": clients, **over}
    return unfold(tree, f"as {first.target} was measured", axes)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the garbage collector from looking, again and again, at thousands of jobs that stay: half of the time."""
    was = gc.isenabled()
    gc.disable()  # no request leaves a cycle behind
    try:
        yield
    finally:
        if was:
            gc.enable()


def _part_of(tell: Callable[[float], object], repeat: int, repeats: int, part: float) -> None:
    tell((repeat + part) / repeats)


def _nothing(spec: Spec, windows: Sequence[Window], lost: float) -> tuple[Status, str]:
    """Say why nothing was done: no request was answered or, of jobs, no chunk."""
    what, failed = ("request", sum(each.errors for each in windows)) if spec.jobs is None else ("chunk", round(lost))
    if failed:
        return "failed", f"all of {failed:,} {what}s failed"
    return "unstable", f"no {what} ended in {spec.window_s:g} s"


def _overloaded(parts: Sequence[Tally], warmup_s: float) -> str:
    """Say that an open loop is beyond what its servers can do; empty if it is not.

    Parameters
    ----------
    parts : sequence of Tally
        Of the window, one after the other, with the latencies of all repeats, of which there are some.
    warmup_s : float
    """
    filled, tally = [], Tally()
    for part in parts:
        tally.then(part)
        if tally.latencies.count:
            filled.append(tally)
            tally = Tally()
    return growth(filled, warmup_s) if len(filled) > 1 else ""


def _settings(spec: Spec) -> dict[str, Setting]:
    found: dict[str, Setting] = {"seed": spec.seed, "servers": sum(each.count for each in spec.servers)}
    if spec.server_kind:
        found["server_kind"] = spec.server_kind
    if spec.jobs is not None:
        found |= {"jobs": spec.jobs.number, "threads": spec.jobs.threads, "mode": spec.jobs.mode}
    elif spec.clients is not None:
        found |= {"clients": spec.clients.number, "rows": spec.clients.rows}
    elif spec.arrivals is not None:
        found |= {"rate": spec.arrivals.rate, "rows": spec.arrivals.rows}
    if (trip_ms := spec.servers[0].network.round_trip_ms) > 0:
        found["round_trip_ms"] = trip_ms
    return found


def _window(spec: Spec, run: Deployment) -> Window:
    seen = run.observed
    model, *others = spec.models.values()
    return Window(
        duration_s=spec.window_s,
        requests=seen.requests,
        errors=seen.errors,
        rows=seen.rows,
        bytes_sent=0 if others else round(seen.rows * model.row_bytes),
        bytes_received=0 if others else round(seen.rows * model.answer_row_bytes),
        client_cpu_s=spec.client.overhead_s * (seen.requests + seen.errors),
        server=run.server_window(),
    )


def _rates(spec: Spec, run: Deployment) -> tuple[float, float]:
    seen = run.observed
    if spec.jobs is None:
        return seen.requests / spec.window_s, seen.rows / spec.window_s
    return seen.chunks / spec.window_s, seen.chunks * spec.jobs.chunk_events / spec.window_s


def _details(spec: Spec, run: Deployment) -> dict[str, float]:
    seen = run.observed
    details: dict[str, float] = {}
    if spec.jobs is not None:
        details["lost"] = float(seen.lost)
        details["events_per_s_per_job"] = _rates(spec, run)[1] / spec.jobs.number
        if seen.chunk_s:
            details["chunk_s"] = sum(seen.chunk_s) / len(seen.chunk_s)
        times = {name: total_s / count for name, (total_s, count) in seen.modules_s.items()}
        details |= {f"module_s.{name}": time_s for name, time_s in times.items()}
        offloads = [module.name for module in spec.jobs.modules if module.model]
        if len(offloads) == 1 and offloads[0] in times:
            details["module_s"] = times[offloads[0]]
    before = spec.servers[0].count
    for at_s, number, _ in run.history:
        if number != before:
            details[f"servers_from_s.{at_s:g}"] = before = number
    after = [number for at_s, number, _ in run.history if at_s >= spec.warmup_s]
    if after:
        details |= {
            "servers_mean": sum(after) / len(after),
            "servers_most": float(max(after)),
            "servers_least": float(min(after)),
        }
    return details
