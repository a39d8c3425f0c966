"""EmTrackMichel on every hit of a liquid-argon chamber, beside the straightness of the charge around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import uproot

from benchmarks.workloads.case import Case, Ordinary
from sonic.workloads.lartpc import linearity
from sonic.workloads.lartpc.chamber import PLANES, PROTODUNE
from sonic.workloads.lartpc.patches import images
from sonic.workloads.lartpc.sample import HITS, PIXELS
from sonic.workloads.lartpc.simulation import Pixels

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.workloads.case import Summaries


def prepare(file: Path) -> list[tuple[Pixels, list[np.ndarray]]]:
    """Read the pixels and the hits."""
    with uproot.open(file) as opened:
        read = opened["Events"].arrays([*PIXELS, *HITS])
    return [
        (Pixels(*(np.asarray(event[name]) for name in PIXELS)), [np.asarray(event[name]) for name in HITS])
        for event in read
    ]


def run(prepared: list[tuple[Pixels, list[np.ndarray]]]) -> list[np.ndarray]:
    """Tell all hits apart by straightness."""
    kinds = []
    for pixels, (plane, wire, sample) in prepared:
        made = zip(range(len(PLANES)), images(pixels, PROTODUNE), strict=True)
        kinds += [linearity.shape(image, wire[plane == n], sample[plane == n]).kind() for n, image in made]
    return kinds


def merit(summaries: Summaries, _: Any) -> tuple[str, str]:
    """How well tracks and showers are told apart, hit by hit."""
    rows = summaries["hit_performance"]
    texts = [f"AUC track vs em {rows[f'AUC track against em{end}']:.3f}" for end in ("", ", straightness")]
    return f"{texts[0]}, michel {rows['AUC michel']:.3f}", texts[1]


CASE = Case(
    workflow="protodune",
    events=3,
    chunk_size=1,
    ordinary=Ordinary("straightness", prepare, run),
    merit=merit,
)
