"""One point of a study: a load on a server, until what is measured is stable."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from math import ceil
from typing import TYPE_CHECKING, Any

from msgspec import structs

from sonic.client.url import connect, parse_server
from sonic.errors import SonicError
from sonic.study.histogram import Histogram
from sonic.study.load.clients import Clients
from sonic.study.load.crew import Crew
from sonic.study.load.inputs import RandomInputs
from sonic.study.load.server import ServerWatch
from sonic.study.load.settings import LoadSettings
from sonic.study.load.stable import disagreement, estimate
from sonic.study.load.tally import Tally
from sonic.study.machine import this_machine
from sonic.study.records import Record, Window
from sonic.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sonic.client.url import Address
    from sonic.study.load.crew import Work
    from sonic.study.load.inputs import Inputs
    from sonic.study.load.server import Sample
    from sonic.study.records import Setting, Status

_SLICE_S = 0.25
"""How often there is news, at most."""


@dataclass(frozen=True)
class Glance:
    """How a measurement stands.

    Parameters
    ----------
    phase : {"warming up", "measuring"}
    windows : int
        That have ended.
    recent : Tally
        Of the last slice.
    trouble : str
        Why it goes on: how the last windows differ.
    """

    phase: str
    windows: int
    recent: Tally
    trouble: str = ""


def measure(
    target: str,
    server: str,
    settings: LoadSettings | None = None,
    *,
    inputs: Inputs | None = None,
    copies: Sequence[str] = (),
    metrics: str = "",
    progress: Callable[[Glance], None] | None = None,
) -> Record:
    """Put a load on a model of a server, and return what was measured.

    Parameters
    ----------
    target : str
        The model.
    server : str
        URL of the server. It gives the protocol, and compression too: ``grpc://gpu01:8001?compression=gzip``.
    settings : LoadSettings, optional
    inputs : Inputs, optional
        What is sent; by default random tensors with the rows and shapes of the settings.
    copies : sequence of str
        Names under which the same model is served besides, if `inputs` has requests for them, too.
    metrics : str
        URL of the server's metrics, where they are not next to its port.
    progress : callable, optional
        Called a few times a second, in this thread.

    Returns
    -------
    Record
        ``measured`` if as many windows in a row as are wanted agree, and their figures are those of these windows;
        ``unstable`` if they never do. ``failed`` if the server cannot be reached, has no such model, no request of a
        window succeeds, or the server or a process of the load dies; ``interrupted`` by Ctrl-C. What was measured
        until then is in it.

    Raises
    ------
    ConfigError
        If the settings or the URL make no sense.
    """
    settings = settings or LoadSettings()
    address = parse_server(server)
    point = _Point(settings, progress)
    started = datetime.now(UTC)
    status: Status = "measured"
    reason = ""
    estimate([0.0, 0.0])  # what is missing for it is said now
    try:
        with ExitStack() as stack:
            transport = connect(address)
            stack.callback(transport.close)
            spec = transport.model_spec(target, timeout_s=settings.timeout_s)
            watch = stack.enter_context(ServerWatch(transport, address, [target, *copies], metrics))
            sent = inputs or RandomInputs(settings.rows, settings.shapes)
            parts = processes_of(settings)
            works = [Clients(address, spec, sent, settings, part, parts) for part in range(parts)]
            reason = point.run(works, watch)
            status = "unstable" if reason else "measured"
    except SonicError as error:
        status, reason = "failed", str(error)
    except KeyboardInterrupt:
        status, reason = "interrupted", "by Ctrl-C"
    record = Record(
        target=target,
        settings=_settings(settings, address),
        status=status,
        reason=reason,
        started=started.isoformat(timespec="seconds").replace("+00:00", "Z"),
        machine=this_machine(),
        versions=_versions(),
    )
    return structs.replace(record, **point.figures())


def processes_of(settings: LoadSettings) -> int:
    """Return how many processes there are: as given, else half of the cores, and no more than clients."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = settings.processes or max(1, cores // 2)
    return wanted if settings.rate is not None else min(wanted, settings.clients)


class _Point:
    """Windows, as they come in."""

    def __init__(self, settings: LoadSettings, progress: Callable[[Glance], None] | None) -> None:
        self._settings = settings
        self._progress = progress
        self._slices = ceil(settings.window_s / _SLICE_S)
        self._slice_s = settings.window_s / self._slices
        self._tallies: list[Tally] = []
        self._windows: list[Window] = []

    def run(self, works: Sequence[Work], watch: ServerWatch) -> str:
        """Measure until windows agree; return why they do not, or nothing.

        Raises
        ------
        SonicError
            If a process fails, or all requests of a window do.
        """
        settings, trouble = self._settings, ""
        with Crew(works) as crew:
            warmup = ceil(settings.warmup_s / self._slice_s)
            before, tally = self._sample(watch, warmup == 0), Tally()
            for number, recent in enumerate(crew.slices(self._slice_s), 1 - warmup):
                if self._progress is not None:
                    phase = "measuring" if number > 0 else "warming up"
                    self._progress(Glance(phase, len(self._tallies), recent, trouble))
                if number <= 0:
                    before = self._sample(watch, number == 0)
                    continue
                tally.then(recent)
                if number % self._slices:
                    continue
                after = self._sample(watch, wanted=True)
                self._end_window(tally, watch, before, after)
                before, tally = after, Tally()
                if len(self._tallies) < settings.agreeing:
                    continue
                random = settings.rate is not None and settings.arrivals == "poisson"
                trouble = disagreement(self._tallies[-settings.agreeing :], settings.tolerance, random=random)
                if not trouble or len(self._tallies) >= settings.most_windows:
                    break
        if not sum(tally.requests for tally in self._tallies):
            raise SonicError(trouble)
        return trouble

    @staticmethod
    def _sample(watch: ServerWatch, wanted: bool) -> Sample | None:
        return watch.sample() if wanted else None

    def _end_window(self, tally: Tally, watch: ServerWatch, before: Sample | None, after: Sample | None) -> None:
        if tally.errors and not tally.requests:
            raise SonicError(f"all of {tally.errors} requests failed, the first with: {tally.error}")
        self._tallies.append(tally)
        self._windows.append(
            Window(
                duration_s=tally.duration_s,
                requests=tally.requests,
                errors=tally.errors,
                rows=tally.rows,
                bytes_sent=tally.bytes_sent,
                bytes_received=tally.bytes_received,
                client_cpu_s=tally.cpu_s,
                late=tally.late,
                server=watch.window(before, after),
            )
        )

    def figures(self) -> dict[str, Any]:
        """Return the fields of a record that come from the last windows."""
        tallies, windows = self._tallies[-self._settings.repeats :], self._windows[-self._settings.repeats :]
        if not sum(tally.requests for tally in tallies):
            return {"windows": tuple(windows)}
        latencies = Histogram()
        for tally in tallies:
            latencies += tally.latencies
        return {
            "throughput": estimate([tally.rate for tally in tallies]),
            "row_rate": estimate([tally.rows / tally.duration_s for tally in tallies]),
            "latencies": latencies.latencies(),
            "windows": tuple(windows),
        }


def _settings(settings: LoadSettings, address: Address) -> dict[str, Setting]:
    said: dict[str, Setting] = {"clients": settings.clients}
    if settings.rate is not None:
        said = {"rate": settings.rate, "arrivals": settings.arrivals}
    elif settings.think_s:
        said["think_s"] = settings.think_s
    return said | {
        "rows": settings.rows,
        "protocol": address.scheme,
        "compression": dict(address.options).get("compression", "none"),
        "shared_memory": settings.shared_memory,
        "processes": processes_of(settings),
    }


def _versions() -> dict[str, str]:
    return {"sonic": __version__, "python": sys.version.split()[0], "grpcio": version("grpcio")}
