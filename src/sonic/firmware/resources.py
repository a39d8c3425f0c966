"""What firmware takes of an FPGA, and how long: as da4ml estimates it, and as a compiler's report has it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sonic.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_REPORTS = "**/syn/report/*csynth.xml"


@dataclass(frozen=True, slots=True)
class Resources:
    """What somebody says that firmware takes; None where they don't say.

    Parameters
    ----------
    source : str
        Who says it, and whether it is an estimate.
    luts, flip_flops, dsps : float, optional
    brams : float, optional
        Memories of 18 kbit.
    latency_cycles, interval_cycles : float, optional
        From a row to its result, and from a row to the next. Of da4ml's logic without registers the former is the
        number of adders one behind the other.
    clock_ns : float, optional
    """

    source: str
    luts: float | None = None
    flip_flops: float | None = None
    dsps: float | None = None
    brams: float | None = None
    latency_cycles: float | None = None
    interval_cycles: float | None = None
    clock_ns: float | None = None


def of_da4ml(cost: Mapping[str, float]) -> Resources:
    """Return da4ml's estimate, which has no multipliers and no memories."""
    what = "estimated" if "flip_flops" in cost else "no registers"
    return Resources(f"da4ml, {what}", dsps=0.0, brams=0.0, **cost)


def of_reports(project: Path) -> list[Resources]:
    """Return what reports of Vitis HLS (or Vivado HLS) beneath a project say, if it was synthesised there.

    Raises
    ------
    DataError
        If a report cannot be read.
    """
    return [read_csynth(file) for file in sorted(project.glob(_REPORTS)) if not _of_a_part(file)]


def _of_a_part(file: Path) -> bool:
    """Whether a report is of a function of the design only, which stands beside the whole one's ``csynth.xml``."""
    return file.name != "csynth.xml" and (file.parent / "csynth.xml").is_file()


def read_csynth(file: Path) -> Resources:
    """Read the report of a synthesis, ``csynth.xml`` (UG1399, "C synthesis report").

    Raises
    ------
    DataError
        If it is no such report.
    """
    try:
        root = ET.parse(file).getroot()  # noqa: S314 - of the user's own build
    except (OSError, ET.ParseError) as error:
        raise DataError(f"{file} is no report of a synthesis: {error}") from error

    def number(*places: str) -> float | None:
        for place in places:
            text = root.findtext(place)
            try:
                return float(text or "")
            except ValueError:  # "undef" and "-" where a loop has no bound
                continue
        return None

    if root.find("AreaEstimates/Resources") is None:
        raise DataError(f"{file} is no report of a synthesis: it has no AreaEstimates/Resources")
    used, times = "AreaEstimates/Resources", "PerformanceEstimates/SummaryOfOverallLatency"
    version = root.findtext("ReportVersion/Version", "")
    return Resources(
        f"HLS {version}, estimated".replace(" ,", ","),
        number(f"{used}/LUT"),
        number(f"{used}/FF"),
        number(f"{used}/DSP", f"{used}/DSP48E"),
        number(f"{used}/BRAM_18K"),
        number(f"{times}/Worst-caseLatency"),
        number(f"{times}/Interval-max"),
        number("PerformanceEstimates/SummaryOfTimingAnalysis/EstimatedClockPeriod"),
    )
