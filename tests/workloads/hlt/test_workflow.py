from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest
import uproot

pytest.importorskip("fastjet")

import sonic
from sonic.errors import ConfigError
from sonic.firmware.numbers import Fixed
from sonic.firmware.precision import Precision
from sonic.framework.workflow import load
from sonic.testing.compare import differences
from sonic.workloads import MODELS
from sonic.workloads.eventfile import write
from sonic.workloads.hlt.drawn import collisions
from sonic.workloads.hlt.sample import simulate
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


@pytest.fixture(scope="module")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models with firmware of FACILE, under the network's name."""
    pytest.importorskip("onnx")
    pytest.importorskip("da4ml")
    from sonic.firmware.build import build
    from sonic.firmware.fromonnx import read

    network = read(MODELS / "facile-fpga" / "1" / "model.onnx", "facile")
    folder: Path = tmp_path_factory.mktemp("firmware")
    build(network, Precision.uniform(Fixed(18, 9, rounding="RND")), folder / "facile-fpga" / "1", route="da4ml")
    return folder


def test_firmware_in_place_of_the_network(hlt_file: Path, tmp_path: Path, firmware: Path) -> None:
    """Firmware is another server, and no other job; in the job's own process it has the same bits."""
    job = workflow(hcal="facile-fpga")
    once: dict[str, Any] = {"threads": 1, "entries": (0, 1), "keep": KEEP}
    outputs = {name: tmp_path / f"{name}.root" for name in ("network", "remote", "local")}
    sonic.run(job, [hlt_file], outputs["network"], mode="direct", **once)
    with sonic.serve(firmware, cores=1) as server:  # which has none of the job's other models
        report = sonic.run(job, [hlt_file], outputs["remote"], servers=[server.grpc_url], **once)
    sonic.run(job, [hlt_file], outputs["local"], servers=[f"local:{firmware}"], **once)
    assert differences(outputs["remote"], outputs["local"]) == []
    assert report.summaries["energy_performance"]["jet pT found / true, median"] == pytest.approx(1.0, abs=0.2)
    energies = []
    for name in ("network", "remote"):
        with uproot.open(outputs[name]) as file:
            energies.append(ak.flatten(file["Events"]["Digi_energy"].array()).to_numpy())
    apart = np.abs(energies[1] - energies[0])
    assert 0 < np.median(apart) < 0.02
    assert (apart < 0.3 + 0.01 * energies[0]).all()


@pytest.mark.parametrize("hcal", ["facile-v5", "fit", "pulse_fit"])
def test_a_file_without_events(hcal: str, tmp_path: Path) -> None:
    columns = simulate(collisions(1, seed=5), 0.0, 5)
    write(tmp_path / "none.root", [{name: column[:0] for name, column in columns.items()}])
    report = sonic.run(workflow(hcal=hcal), [tmp_path / "none.root"], tmp_path / "out.root", mode="direct", threads=1)
    assert report.events == 0
    assert report.summaries["rates"]["accepted by any"] == 0


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
