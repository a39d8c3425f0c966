from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sonic.errors import DataError
from sonic.firmware.resources import Resources, of_da4ml, of_reports, read_csynth

if TYPE_CHECKING:
    from pathlib import Path

CSYNTH = """<?xml version="1.0"?>
<profile>
  <ReportVersion><Version>2023.2</Version></ReportVersion>
  <UserAssignments><TopModelName>net</TopModelName><TargetClockPeriod>5.00</TargetClockPeriod></UserAssignments>
  <PerformanceEstimates>
    <SummaryOfTimingAnalysis><EstimatedClockPeriod>3.62</EstimatedClockPeriod></SummaryOfTimingAnalysis>
    <SummaryOfOverallLatency>
      <Best-caseLatency>11</Best-caseLatency><Worst-caseLatency>12</Worst-caseLatency>
      <Interval-min>1</Interval-min><Interval-max>{interval}</Interval-max>
    </SummaryOfOverallLatency>
  </PerformanceEstimates>
  <AreaEstimates>
    <Resources><BRAM_18K>4</BRAM_18K><{dsp}>321</{dsp}><FF>1500</FF><LUT>6000</LUT><URAM>0</URAM></Resources>
    <AvailableResources><BRAM_18K>4320</BRAM_18K><{dsp}>6840</{dsp}></AvailableResources>
  </AreaEstimates>
</profile>
"""


@pytest.mark.parametrize("dsp", ["DSP", "DSP48E"])
def test_a_report_of_vitis_is_read(tmp_path: Path, dsp: str) -> None:
    folder = tmp_path / "net_prj" / "solution1" / "syn" / "report"
    folder.mkdir(parents=True)
    for name in ("csynth.xml", "net_csynth.xml", "relu_csynth.xml"):
        (folder / name).write_text(CSYNTH.format(interval=2, dsp=dsp))
    (found,) = of_reports(tmp_path)
    assert found == Resources("HLS 2023.2, estimated", 6000, 1500, 321, 4, 12, 2, 3.62)
    (folder / "csynth.xml").write_text(CSYNTH.format(interval="undef", dsp=dsp))
    assert of_reports(tmp_path)[0].interval_cycles is None


def test_there_may_be_none(tmp_path: Path) -> None:
    assert of_reports(tmp_path) == []


@pytest.mark.parametrize("text", ["no xml", "<profile/>"])
def test_what_is_no_report(tmp_path: Path, text: str) -> None:
    file = tmp_path / "csynth.xml"
    file.write_text(text)
    with pytest.raises(DataError, match="is no report of a synthesis"):
        read_csynth(file)
    with pytest.raises(DataError, match="is no report of a synthesis"):
        read_csynth(tmp_path / "nothing.xml")


def test_da4ml_has_no_multipliers() -> None:
    found = of_da4ml({"luts": 100.0, "latency_cycles": 3.0})
    assert found.source == "da4ml, no registers"
    assert of_da4ml({"luts": 1.0, "flip_flops": 2.0}).source == "da4ml, estimated"
    assert (found.luts, found.dsps, found.brams, found.latency_cycles, found.flip_flops) == (100, 0, 0, 3, None)
