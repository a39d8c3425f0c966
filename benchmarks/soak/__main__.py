"""`make soak`: a real server under load and hazards, overloaded, and terminated; exit status 1 if a mark is missed."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
import traceback
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.common import pinned

from . import models
from .drain import drain
from .marks import Mark, Part
from .mixed import mixed
from .overload import overload
from .server import Serve

if TYPE_CHECKING:
    from collections.abc import Callable

    from .server import Figures

PARTS = ("mixed", "overload", "drain")
_WARM, _OVERLOAD = 0.2, 0.2  # shares of the time
_MAX_WARM_S, _MAX_OVERLOAD_S = 60.0, 60.0
_MAX_QUEUE = 32
_LINE_S = 30.0  # between two lines where there is no terminal
_LOG_CHARACTERS = 2000


class Shown:
    """Says how far it is: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self, console: Console, seconds: float) -> None:
        self._console = console
        self._said_s = time.monotonic()
        self.progress = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[told]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self.progress.add_task("start", total=seconds, told="")
        self._start_s = time.monotonic()

    def __call__(self, name: str, ended: int, wrong: int, figures: Figures) -> None:
        """Say it."""
        now_s = time.monotonic()
        told = f"{ended} requests, {wrong} wrong; {figures.rss_mib:.0f} MiB, {figures.threads} threads, "
        told += f"{figures.files} files"
        self.progress.update(self._task, description=name, completed=now_s - self._start_s, told=told)
        if not self._console.is_terminal and now_s - self._said_s > _LINE_S:
            self._said_s = now_s
            self._console.print(f"{now_s - self._start_s:5.0f} s  {name}: {told}")


def soak(seconds: float, parts: tuple[str, ...], lanes: int, work_ms: float, seed: int, show: Shown) -> list[Part]:
    """Run the parts, and return what came out of them."""
    done: list[Part] = []
    with tempfile.TemporaryDirectory(prefix="sonic-soak-") as name:
        folder = Path(name)
        if "mixed" in parts or "drain" in parts:
            models.write(folder / "models")
            jets, scores = models.jets()
            jets["scores"] = scores
            np.savez(folder / "jets.npz", allow_pickle=False, **jets)
            loaded = (*models.STAY, *models.COME_AND_GO)
            with Serve([folder / "models", models.shipped()], loaded) as server:
                if "mixed" in parts:
                    warm_s = min(_WARM * seconds, _MAX_WARM_S)
                    load_s = seconds - warm_s - min(_OVERLOAD * seconds, _MAX_OVERLOAD_S)
                    arguments = {"warm_s": warm_s, "load_s": load_s, "lanes": lanes, "seed": seed}
                    load = partial(mixed, server, folder / "jets.npz", **arguments, show=show)
                    done.append(ended("mixed load", server, load))
                if "drain" in parts:
                    done.append(ended("SIGTERM under load", server, partial(drain, server, seed=seed)))
        if "overload" in parts:
            models.write_work(folder / "work", work_ms)
            overload_s = min(_OVERLOAD * seconds, _MAX_OVERLOAD_S)
            cores = sorted(os.sched_getaffinity(0))
            # Apart, as on different machines: else the load would take from the server what it is to be measured by.
            with (
                Serve([folder / "work"], [models.WORK], "--max-queue", str(_MAX_QUEUE), cores=cores[:1]) as server,
                pinned(cores[1:] or cores),
            ):
                load = partial(overload, server, seconds=overload_s, max_queue=_MAX_QUEUE, seed=seed, show=show)
                done.append(ended("overload", server, load))
    return done


def ended(name: str, server: Serve, run: Callable[[], Part]) -> Part:
    """Run a part; where it breaks off, as it does without a server, that is a mark that is missed."""
    try:
        return run()
    except Exception:  # noqa: BLE001 - whatever it is, what other parts found must not be lost
        status = server.process.poll()
        state = "still runs" if status is None else f"has ended with status {status}"
        notes = [traceback.format_exc(), f"The server {state}; it printed:\n{server.log()[-_LOG_CHARACTERS:]}"]
        return Part(name, [Mark("came to its end", "no", "yes", reached=False)], notes)


def main() -> int:
    """Run it; exit status 1 if a mark is missed."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="about how long, in all")
    parser.add_argument("--only", action="append", choices=PARTS, help="this part; repeatable")
    parser.add_argument("--lanes", type=int, default=4, help="of each transport, in each of two client processes")
    parser.add_argument("--work-ms", type=float, default=10.0, help="that a request of the overload keeps a core busy")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the summary to this file as well")
    options = parser.parse_args()
    if options.seconds < 10:
        parser.error(f"--seconds: at least 10, given {options.seconds:g}")

    console = Console()
    machine = f"{platform.platform()}, Python {platform.python_version()}, {len(os.sched_getaffinity(0))} cores"
    console.print(machine)
    show = Shown(console, options.seconds)
    with show.progress:
        parts = soak(options.seconds, tuple(options.only or PARTS), options.lanes, options.work_ms, options.seed, show)
    for part in parts:
        for piece in part.render():
            console.print(piece, markup=not isinstance(piece, str), highlight=False)
    reached = all(part.reached for part in parts)
    if options.json:
        document = {"machine": machine, "seconds": options.seconds, "seed": options.seed, "reached": reached}
        document["parts"] = {part.name: part.to_document() for part in parts}
        options.json.write_text(json.dumps(document, indent=2) + "\n")
    console.print("every mark is reached" if reached else "[red]a mark is missed[/red]")
    return int(not reached)


if __name__ == "__main__":
    sys.exit(main())
