"""The floor: a model in onnxruntime alone, in a process of its own on one core. Prints what it counted as JSON."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.common import pinned
from benchmarks.server.cases import CASES, session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.server.cases import Case

ROOT = Path(__file__).resolve().parents[2]
_GRACE_S = 60.0


def run(case: Case, model: Path, seconds: float, cores: Sequence[int]) -> tuple[float, float]:
    """Measure a case's floor in a process of its own.

    Returns
    -------
    per_s : float
        Calls a second.
    cpu_ms : float
        Processor time of a call, in milliseconds.
    """
    command = [sys.executable, "-m", "benchmarks.server.floor", case.name, str(model), str(seconds)]
    with pinned(cores):
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=seconds + _GRACE_S
        )
    if done.returncode:
        raise RuntimeError(f"the floor of {case.name} failed:\n{done.stderr}")
    counted = json.loads(done.stdout)
    return counted["calls"] / counted["elapsed_s"], 1000 * counted["cpu_s"] / counted["calls"]


def _measure(case: Case, model: Path, seconds: float) -> dict[str, float]:
    loaded, inputs = session(model), case.inputs()
    for _ in range(3):
        loaded.run(None, inputs)
    calls, began_s, cpu_s = 0, time.perf_counter(), time.process_time()
    while (elapsed_s := time.perf_counter() - began_s) < seconds:
        loaded.run(None, inputs)
        calls += 1
    return {"calls": calls, "elapsed_s": elapsed_s, "cpu_s": time.process_time() - cpu_s}


def right_outputs(case: Case, model: Path) -> dict[str, np.ndarray]:
    """Return what a right answer holds."""
    loaded = session(model)
    names = [output.name for output in loaded.get_outputs()]
    return dict(zip(names, map(np.asarray, loaded.run(names, case.inputs())), strict=True))


def main() -> int:
    """Measure the case that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", choices=[case.name for case in CASES])
    parser.add_argument("model", type=Path)
    parser.add_argument("seconds", type=float)
    options = parser.parse_args()
    case = next(case for case in CASES if case.name == options.case)
    print(json.dumps(_measure(case, options.model, options.seconds)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
