"""What the benchmarks share: jobs as child processes, ratios with their spread, a sample of events, a model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

ROOT = Path(__file__).resolve().parents[1]

_ECHO = """
backend: "identity"
input { name: "x" data_type: TYPE_FP32 dims: [ -1 ] }
output { name: "y" data_type: TYPE_FP32 dims: [ -1 ] }
"""


@dataclass(frozen=True)
class Figure:
    """One measured figure beside its goal.

    Attributes
    ----------
    name : str
    value : float
        Median of the repeats: a ratio, or another number without a unit.
    low, high : float
        The smallest and the largest repeat.
    goal : float or None
        What is to be reached; None where the figure only stands beside another.
    at_most : bool
        Whether the goal is an upper bound.
    """

    name: str
    value: float
    low: float
    high: float
    goal: float | None = None
    at_most: bool = False

    @classmethod
    def of(cls, name: str, repeats: Sequence[float], goal: float | None = None, *, at_most: bool = False) -> Figure:
        """Make a figure from its repeats."""
        return cls(name, median(repeats), min(repeats), max(repeats), goal, at_most)

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; None without one."""
        if self.goal is None:
            return None
        return self.value <= self.goal if self.at_most else self.value >= self.goal


@dataclass(frozen=True)
class Job:
    """A finished `sonic run`: its report, and the peak of its memory in MiB."""

    report: dict[str, Any]
    peak_mib: float

    @property
    def events_per_s(self) -> float:
        """Throughput of the event loop, without start-up."""
        return float(self.report["events_per_s"])


def run_job(
    *arguments: object,
    environment: Mapping[str, str] | None = None,
    workflow: object = "miniaod",
    events: Path | None = None,
) -> Job:
    """Run `sonic run` with these arguments, and more environment, in a process of its own.

    The workflow is `miniaod` and the events are those of :func:`sample` unless others are named.

    Raises
    ------
    RuntimeError
        With what it printed, if it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        log = Path(folder) / "log"
        command = [sys.executable, "-m", "sonic", "run", workflow]
        command += ["--input", events or sample(), "--report", report]
        command += ["--output", Path(folder) / "out.root", *arguments]
        with log.open("wb") as sink:
            process = subprocess.Popen(
                [str(word) for word in command],
                stdout=sink,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
            )
            # wait4 gives the memory of this one child, where getrusage would give the largest of all so far.
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"{' '.join(map(str, command))}\n{log.read_text()}")
        return Job(json.loads(report.read_text()), usage.ru_maxrss / 1024)


def sample() -> Path:
    """Ten real events if they are to be had, or twenty generated ones; `SONIC_SAMPLE` names another file."""
    if "SONIC_SAMPLE" in os.environ:
        return Path(os.environ["SONIC_SAMPLE"])
    real = (ROOT.parent / "shared" / "data" / "pfnano.root", ROOT / "demo" / ".cache" / "pfnano.root")
    return next((path for path in real if path.is_file()), ROOT / "demo" / "generated.root")


@contextmanager
def echo_models() -> Iterator[Path]:
    """Make a folder of one model, `echo`, which gives back as `y` the numbers that it is sent as `x`."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "echo" / "1").mkdir(parents=True)
        (Path(folder) / "echo" / "config.pbtxt").write_text(_ECHO)
        yield Path(folder)


def calls_per_s(call: Callable[[], object], window_s: float) -> float:
    """Return how often something is done in a second, one after the other, for so long."""
    done, began_s = 0, perf_counter()
    while (past_s := perf_counter() - began_s) < window_s:
        call()
        done += 1
    return done / past_s


@contextmanager
def pinned(cores: Sequence[int]) -> Iterator[None]:
    """Have processes that are started here run on these cores only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
