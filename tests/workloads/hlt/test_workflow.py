from __future__ import annotations

from typing import TYPE_CHECKING

import awkward as ak
import numpy as np
import pytest
import uproot

pytest.importorskip("fastjet")

import sonic
from sonic.errors import ConfigError
from sonic.framework.workflow import load
from sonic.testing.compare import differences
from sonic.workloads.hlt.workflow import workflow

if TYPE_CHECKING:
    from pathlib import Path

    from sonic.framework.report import Report

KEEP = (*workflow().keep, "Digi_energy", "Track_d0")


def assert_same_bits(hcal: str, file: Path, folder: Path, server: str) -> Report:
    """Run direct, on a server and in the process, and return the report of the first."""
    job = workflow(hcal=hcal)
    outputs = {name: folder / f"{hcal}-{name}.root" for name in ("direct", "remote", "local")}
    report = sonic.run(job, [file], outputs["direct"], mode="direct", threads=1, keep=KEEP)
    sonic.run(job, [file], outputs["remote"], servers=[server], threads=2, chunk_size=1, keep=KEEP)
    with sonic.Client([f"local:{job.models}"], fallback=False) as client:
        sonic.run(job, [file], outputs["local"], client=client, threads=1, chunk_size=3, keep=KEEP)
    assert differences(outputs["direct"], outputs["remote"]) == []
    assert differences(outputs["direct"], outputs["local"]) == []
    return report


def test_direct_in_process_and_remote_give_the_same_bits(hlt_file: Path, tmp_path: Path, hlt_server: str) -> None:
    report = assert_same_bits("facile-v5", hlt_file, tmp_path, hlt_server)
    assert report.summaries["energy_performance"]["jet pT found / true, median"] == pytest.approx(1.0, abs=0.2)
    assert report.summaries["tagging_performance"]["tracks in a jet"] > 2
    assert {module.name: module.passed for module in report.modules}["jet_filter"] == 3  # the empty event ends there
    with uproot.open(tmp_path / "facile-v5-direct.root") as file:
        events = file["Events"].arrays(["Jet_pt", "Jet_taggable", "Jet_sonicB", "jet_filter"])
    assert events.jet_filter.tolist() == [True, True, True, False]
    assert ak.num(events.Jet_pt)[-1] == 0
    assert ak.all((events.Jet_sonicB >= 0) == events.Jet_taggable)


def test_the_fit_is_the_same_in_the_job_and_served(hlt_bad_file: Path, tmp_path: Path, hlt_server: str) -> None:
    assert_same_bits("pulse_fit", hlt_bad_file, tmp_path, hlt_server)
    sonic.run(workflow(hcal="fit"), [hlt_bad_file], tmp_path / "fit.root", mode="direct", threads=1, keep=KEEP)
    assert differences(tmp_path / "pulse_fit-direct.root", tmp_path / "fit.root") == []


def test_bad_events_go_through(hlt_bad_file: Path, tmp_path: Path) -> None:
    report = sonic.run(workflow(), [hlt_bad_file], tmp_path / "out.root", mode="direct", threads=1)
    assert report.events == 2
    assert report.summaries.get("energy_performance", {}) == {}  # there is no truth
    with uproot.open(tmp_path / "out.root") as file:
        found = file["Events"].arrays(["Jet_pt", "CaloMET_pt", "HLT_any"])
    assert ak.all(np.isfinite(found.Jet_pt))
    assert ak.all(np.isfinite(found.CaloMET_pt))


def test_it_is_installed_with_its_option() -> None:
    assert load("hlt", ["hcal=facile-fpga"]).modules[0].model == "facile-fpga"
    with pytest.raises(ConfigError, match="model 'mahi' for HCAL"):
        load("hlt", ["hcal=mahi"])
