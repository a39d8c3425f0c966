"""What the framework itself costs, and what a second process gains.

Ten modules that do nothing, an event at a time, one thread: processor time for each module and event, with all that the
source, the graph, the report and the threads need. Processor time, since a neighbour makes of elapsed time anything.
Then `miniaod`, 1000 events in one chunk: the part of the elapsed time that is in no module, model or source.
Then two processes of one thread each against one process of two threads: for a module of plain Python, where threads
only take turns, and for `miniaod`, most of which is numpy's and ONNX Runtime's. Events per second of processor time say
what sharing costs, whatever else the machine does; the elapsed gain needs two cores that are free.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import uproot

import sonic
from common import ROOT, Figure
from sonic.framework import Producer, Workflow
from sonic.framework.workflow import load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from sonic.framework import Report

MODULES = 10
EVENTS = 5000
CHUNK = 1000
COPIES = 50  # of the 20 generated events
PLAIN_EVENTS = 4000

PLAIN = """
from sonic.framework import Producer, Workflow


class Plain(Producer):
    consumes = ("x",)
    produces = ("y",)

    def produce(self, events):
        return {"y": [sum((x + i) % 7 for i in range(10_000)) for x in events.x.to_list()]}


workflow = Workflow("plain", (Plain(),), ("y",))
"""


def measure(repeats: int, console: Console) -> Iterator[Figure]:
    """Yield the overhead for small and large chunks, and the gain of a second process."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        numbers = folder / "numbers.root"
        with uproot.recreate(numbers) as file:
            file.mktree("Events", {"x": "float64"}).extend({"x": np.arange(float(EVENTS))})
        for kind, make in (("that do nothing", _empty), ("in a chain, a column each", _link)):
            flow = Workflow("overhead", tuple(make(i) for i in range(MODULES)), ())
            small = [sonic.run(flow, [numbers], threads=1, chunk_size=1) for _ in range(repeats)]
            wall = [1e6 * run.wall_s / EVENTS / MODULES for run in small]
            console.print(f"{MODULES} modules {kind}: {min(wall):.0f} to {max(wall):.0f} us elapsed a module and event")
            cpu = [1e6 * run.cpu_s / EVENTS / MODULES for run in small]
            yield Figure.of(f"us of CPU a module and event, {MODULES} modules {kind}", cpu, goal=100, at_most=True)

        events = folder / "events.root"
        sonic.run(Workflow("copies", ()), [ROOT / "demo" / "generated.root"], events, repeat=COPIES)
        large = [
            sonic.run(load("miniaod"), [events], mode="direct", threads=1, chunk_size=CHUNK) for _ in range(repeats)
        ]
        console.print(f"miniaod, {CHUNK} events in one chunk: {min(run.wall_s for run in large):.3g} s")
        shares = [1 - (sum(module.wall_s for module in run.modules) + run.external_s) / run.wall_s for run in large]
        yield Figure.of(f"miniaod, chunk {CHUNK}: time outside of the modules", shares, goal=0.01, at_most=True)

        plain = folder / "plain.py"
        plain.write_text(PLAIN)
        cases = (
            ("plain Python", str(plain), {"entries": (0, PLAIN_EVENTS), "chunk_size": 20}, numbers),
            ("miniaod, direct", "miniaod", {"mode": "direct", "chunk_size": 20}, events),
        )
        for title, flow_name, options, source in cases:
            gains, costs = [], []
            for repeat in range(repeats):
                runs = {
                    processes: _run(flow_name, source, folder / f"{processes}.root", processes, options)
                    for processes in ((1, 2) if repeat % 2 else (2, 1))
                }
                for processes, run in sorted(runs.items()):
                    console.print(f"{title}, {processes}: {run.rate}, {run.cpu_s / run.wall_s:.2f} cores busy")
                gains.append(runs[2].events_per_s / runs[1].events_per_s)
                costs.append(runs[2].events / runs[2].cpu_s / (runs[1].events / runs[1].cpu_s))
            yield Figure.of(f"{title}: events/s, two processes / two threads", gains)
            yield Figure.of(f"{title}: events per s of CPU, likewise", costs, goal=0.75)


def _run(flow: str, source: Path, output: Path, processes: int, options: dict[str, object]) -> Report:
    return sonic.run(load(flow), [source], output, threads=2, processes=processes, **options)


def _empty(i: int) -> Producer:
    class Empty(Producer):
        name = f"empty{i}"

        def produce(self, _: object) -> dict[str, object]:
            return {}

    return Empty()


def _link(i: int) -> Producer:
    class Link(Producer):
        name = f"link{i}"
        consumes = (f"x{i - 1}" if i else "x",)
        produces = (f"x{i}",)

        def produce(self, events: dict[str, object]) -> dict[str, object]:
            return {self.produces[0]: events[self.consumes[0]]}

    return Link()
