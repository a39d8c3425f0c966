from __future__ import annotations

from typing import TYPE_CHECKING

import awkward as ak
import numpy as np
import pytest
import uproot

import sonic
from sonic.errors import DataError
from sonic.testing.compare import differences
from sonic.workloads.miniaod import full, workflow
from sonic.workloads.simulation.pfnano import write_pfnano

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def wide_sample(boosted: ak.Array, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("sample") / "boosted.root"
    write_pfnano(file, [boosted])
    return file


@pytest.fixture(scope="module")
def sample(generated: ak.Array, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("sample") / "events.root"
    write_pfnano(file, [generated])
    return file


def test_direct_in_any_chunks_and_as_a_service_give_the_same_file(sample: Path, tmp_path: Path):
    job = workflow()
    report = sonic.run(job, [sample], tmp_path / "direct.root", mode="direct", threads=1)
    sonic.run(job, [sample], tmp_path / "chunks.root", mode="direct", threads=2, streams=3, chunk_size=1)
    with sonic.serve(job.models) as server:
        sonic.run(job, [sample], tmp_path / "service.root", servers=[server.grpc_url], chunk_size=5, threads=2)
    for other in ("chunks", "service"):
        assert differences(tmp_path / "direct.root", tmp_path / f"{other}.root") == []
    assert report.events == 12
    rows = report.summaries["tagger_performance"]
    assert rows["AUC b against light, ParticleNet"] != "no b jets"
    assert report.summaries["met_performance"]["MET residual (GeV), DeepMET"] > 0
    with uproot.open(tmp_path / "direct.root") as file:
        assert "Jet_sonicB" in file["Events"]


def test_the_four_networks_of_one_event_by_every_way_to_the_same_bits(wide_sample: Path, tmp_path: Path):
    job = full()
    direct = sonic.run(job, [wide_sample], tmp_path / "direct.root", mode="direct", threads=1)
    sonic.run(job, [wide_sample], tmp_path / "alone.root", mode="direct", threads=1, chunk_size=1)
    with sonic.serve(job.models) as server:
        report = sonic.run(job, [wide_sample], tmp_path / "service.root", servers=[server.grpc_url], chunk_size=2)
    for other in ("alone", "service"):
        assert differences(tmp_path / "direct.root", tmp_path / f"{other}.root") == []
    assert report.together_s > 0
    assert {m.offload.model for m in report.modules if m.offload} == {
        "particlenet-ak4",
        "particlenet-ak8",
        "deepmet",
        "deeptau",
    }
    assert direct.summaries["wide_tagger_performance"]["wide jets"] > 0
    assert "random" in str(direct.summaries["tau_candidates"]["weights of DeepTau as it ships"])


def damaged(events: ak.Array) -> ak.Array:
    """The first event without anything, the second's candidates not finite or unknown, the third's links astray."""
    columns = {}
    for name, column in zip(events.fields, ak.unzip(events), strict=True):
        if column.ndim == 1:
            columns[name] = column
            continue
        rows = [column[i : i + 1] for i in range(len(events))]
        rows[0] = rows[0][:, :0]
        if name in ("PFCands_pt", "PFCands_eta", "PFCands_d0"):
            odd = np.arange(len(rows[1][0])) % 3 == 0
            rows[1] = ak.Array([np.where(odd, np.nan, np.asarray(rows[1][0])).astype(np.float32)])
        if name == "PFCands_pdgId":
            rows[1] = ak.Array([np.full(len(rows[1][0]), 99, np.int32)])
        if name.endswith(("pFCandsIdx", "sVIdx")):
            rows[2] = ak.full_like(rows[2], 1_000_000)
        columns[name] = ak.concatenate(rows)
    return ak.zip(columns, depth_limit=1)


def test_damaged_events_give_numbers_and_leave_the_others_alone(boosted: ak.Array, tmp_path: Path):
    for name, events in (("sound", boosted), ("damaged", damaged(boosted))):
        write_pfnano(tmp_path / f"{name}.root", [events])
        sonic.run(full(), [tmp_path / f"{name}.root"], tmp_path / f"{name}-out.root", mode="direct", threads=1)
    with uproot.open(tmp_path / "sound-out.root") as sound, uproot.open(tmp_path / "damaged-out.root") as out:
        for name in ("Jet_sonicB", "FatJet_sonicTvsQCD", "SonicMET_pt", "TauCand_scoreTau"):
            found, expected = out["Events"][name].array(), sound["Events"][name].array()
            assert np.isfinite(np.asarray(ak.flatten(found, axis=None))).all(), name
            assert found[3:].tolist() == expected[3:].tolist(), name
            assert found[0] == 0 if name == "SonicMET_pt" else len(found[0]) == 0, name
        assert ak.num(out["Events"]["Jet_sonicB"].array()).tolist()[1:] == ak.num(boosted.Jet_pt).tolist()[1:]
        assert len(out["Events"]["TauCand_scoreTau"].array()[2]) == 0


def test_a_file_without_the_branches_is_refused(generated: ak.Array, tmp_path: Path):
    file = tmp_path / "poor.root"
    write_pfnano(file, [generated[["Jet_pt", "Jet_eta", "PFCands_pt"]]])
    with pytest.raises(DataError, match="PFCands_phi"):
        sonic.run(workflow(), [file], mode="direct", threads=1)


@pytest.mark.data
def test_real_events(shared_data: Path, tmp_path: Path):
    file = shared_data / "data" / "pfnano.root"
    report = sonic.run(workflow(), [file], tmp_path / "out.root", mode="direct", threads=1)
    assert report.events == 10
    tagger, met = report.summaries["tagger_performance"], report.summaries["met_performance"]
    # The sample is of light quarks and gluons.
    assert tagger["AUC b against light, ParticleNet"] == "no b jets"
    assert tagger["AUC b against light, DeepFlavour (CMSSW)"] == "no b jets"
    assert {label.removeprefix("MET residual (GeV), ") for label in met} == {
        "DeepMET",
        "plain sum",
        "PUPPI weights",
        "PF, corrected (CMSSW)",
        "PUPPI (CMSSW)",
        "DeepMET resolution tune (CMSSW)",
        "DeepMET response tune (CMSSW)",
    }
    with uproot.open(file) as real:
        expected = real["Events"]["RawMET_pt"].array()
    with uproot.open(tmp_path / "out.root") as out:
        plain = out["Events"]["PlainMET_pt"].array()
    assert np.asarray(plain) == pytest.approx(np.asarray(expected), abs=1.0)
