"""Everything at once, for as long as one likes; then the server must be as it was before."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from sonic.protocol.proto import grpc_service_pb2 as pb

from .hazards import Clients, Cuts, Kills, Reloads, all_counts
from .marks import Mark, Part
from .probes import MAY_FAIL, RIGHT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .server import Figures, Serve
    from .tally import Tally

MOST_GROWTH = 0.05
"""Of the resident memory, from before to after."""
_LOOK_S = 0.5
_ALL_REGIONS = pb.SystemSharedMemoryStatusRequest()


def mixed(
    server: Serve,
    jets: Path,
    *,
    warm_s: float,
    load_s: float,
    lanes: int,
    seed: int,
    show: Callable[[str, int, int, Figures], None],
) -> Part:
    """Load a server with everything, and compare what it holds before and after.

    Parameters
    ----------
    server : Serve
        With the models of :mod:`benchmarks.soak.models`.
    jets : Path
        See :class:`benchmarks.soak.hazards.Clients`.
    warm_s, load_s : float
        How long the load lasts that comes before the first look, and the one after it.
    lanes : int
        Of each transport, in each of two client processes.
    seed : int
    show : callable
        Told every half second what goes on: a name, requests ended and wrong ones so far, and the server's figures.
    """
    part = Part("mixed load")
    _load(server, jets, warm_s, lanes, seed, part, show, "warm-up")
    before = server.settled()
    start_s = time.monotonic()
    tally, peak_mib, counts = _load(server, jets, load_s, lanes, seed + 1, part, show, "mixed load")
    took_s = time.monotonic() - start_s
    after = server.settled()
    with server.control() as stub:
        regions = len(stub.SystemSharedMemoryStatus(_ALL_REGIONS, timeout=30).regions)

    growth = after.rss_mib / before.rss_mib - 1
    complaints = [line for line in server.log().splitlines() if " ERROR " in line or line.startswith("Traceback")]
    part.tally = tally
    part.marks += [
        Mark.at_least("requests that ended", tally.total, 1),
        Mark.none("of them wrong, lost, or another's answer", tally.wrong),
        Mark.none("kinds of them that may fail, and always did", len(tally.never(RIGHT, MAY_FAIL))),
        Mark.none("failures beside them", len(part.notes)),
        Mark(
            "resident memory after / before",
            f"{after.rss_mib:.1f} / {before.rss_mib:.1f} MiB ({growth:+.1%})",
            f"at most {MOST_GROWTH:+.0%}",
            growth <= MOST_GROWTH,
        ),
        Mark.at_most("threads after", after.threads, before.threads),
        Mark.at_most("file descriptors after", after.files, before.files),
        Mark.none("mappings of shared memory after", after.shared),
        Mark.none("regions of shared memory after", regions),
        Mark.none("errors in the server's log", len(complaints)),
    ]
    part.notes += [*tally.texts, *complaints[:5]]
    part.details = {
        "seconds": round(took_s, 1),
        "requests_per_s": round(tally.total / took_s, 1),
        "hazards": counts,
        "before": asdict(before),
        "after": asdict(after),
        "peak_rss_mib": round(peak_mib, 1),
    }
    return part


def _load(
    server: Serve,
    jets: Path,
    seconds: float,
    lanes: int,
    seed: int,
    part: Part,
    show: Callable[[str, int, int, Figures], None],
    name: str,
) -> tuple[Tally, float, dict[str, int]]:
    """Return what became of the requests, the largest resident memory in MiB, and what befell the server."""
    random = np.random.default_rng(seed)
    clients = Clients(server, jets, lanes, "--seed", str(seed))
    steady = clients.start()
    reloads, cuts = Reloads(server, random), Cuts(server, np.random.default_rng(seed + 1))
    kills = Kills(clients, period_s=min(4.0, max(1.5, seconds / 4)))
    peak_mib = 0.0
    try:
        with ExitStack() as stack:
            for hazard in (reloads, cuts, kills):
                stack.enter_context(hazard)
            until_s = time.monotonic() + seconds
            while time.monotonic() < until_s and server.process.poll() is None:
                time.sleep(_LOOK_S)
                figures = server.figures()
                peak_mib = max(peak_mib, figures.rss_mib)
                show(name, *clients.counted(), figures)
        if status := clients.stop(steady):
            part.notes.append(f"a client ended with status {status}")
    finally:
        errors = clients.close()
    if part.notes and errors:
        part.notes.append(errors[-2000:])
    part.notes += [f"{name}: {failure}" for hazard in (reloads, cuts, kills) for failure in hazard.failures[:5]]
    return clients.tally, peak_mib, all_counts((reloads, cuts, kills))
