from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

import sonic  # noqa: E402
from sonic.errors import OutputError  # noqa: E402
from sonic.workloads import export, zoo  # noqa: E402
from sonic.workloads.networks.catalogue import blueprint  # noqa: E402
from sonic.workloads.networks.deeptau import CLASSES, DeepTau, DeepTauConfig  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

WIDTH, SEED = 0.05, 4
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ensemble of four steps, narrow."""
    folder = tmp_path_factory.mktemp("deeptau")
    zoo.build("deeptau-ensemble", folder, weights="random", width=WIDTH, seed=SEED)
    return folder


@pytest.fixture(scope="module")
def whole() -> DeepTau:
    return export.random_network("deeptau", WIDTH, SEED)


def expected(whole: DeepTau, taus: dict[str, np.ndarray]) -> np.ndarray:
    with torch.no_grad():
        return whole(*(torch.from_numpy(a) for a in taus.values())).numpy()


def test_the_ensemble_served_is_the_whole(repository: Path, whole: DeepTau):
    assert sorted(p.name for p in repository.iterdir()) == [
        "deeptau-ensemble",
        "deeptau-head",
        "deeptau-inner",
        "deeptau-outer",
        "deeptau-tau",
    ]
    with sonic.serve(repository) as server, sonic.Model(f"{server.grpc_url}/deeptau-ensemble") as model:
        assert [t.name for t in model.spec.inputs] == [i.name for i in blueprint("deeptau").inputs]
        for rows in (1, 2, 5):
            taus = export.example_inputs("deeptau", rows, seed=rows)
            scores = model(**taus)["probabilities"]
            assert scores.shape == (rows, len(CLASSES))
            assert np.abs(scores - expected(whole, taus)).max() < 1e-5


def test_whole_as_torchscript(whole: DeepTau):
    plan = blueprint("deeptau")
    script = export.to_torchscript(plan, whole)
    for rows in (1, 2, 5):
        assert export.deviation(plan, whole, script, rows=rows).max() < 1e-5


def test_a_cell_that_is_not_finite_makes_nan_of_its_tau_alone(repository: Path, whole: DeepTau):
    taus = export.example_inputs("deeptau", 3)
    intact = expected(whole, taus)
    taus["input_outer_muon"][1, 20, 20, 5] = np.nan
    scores = expected(whole, taus)
    assert np.isnan(scores).any(axis=1).tolist() == [False, True, False]
    assert np.allclose(scores[::2], intact[::2], atol=1e-6)
    session = onnxruntime.InferenceSession(
        repository / "deeptau-outer" / "1" / "model.onnx", providers=["CPUExecutionProvider"]
    )
    (features,) = session.run(None, {name: taus[name] for name in (i.name for i in session.get_inputs())})
    assert np.isnan(features).any(axis=1).tolist() == [False, True, False]


def test_building_writes_over_no_step(repository: Path, tmp_path: Path):
    (tmp_path / "deeptau-head").mkdir()
    with pytest.raises(OutputError, match="deeptau-head is there already"):
        zoo.build("deeptau-ensemble", tmp_path, weights="random", width=WIDTH)
    assert [p.name for p in tmp_path.iterdir()] == ["deeptau-head"]


def test_convolutions_leave_one_cell_of_each_grid():
    with torch.device("meta"):
        network = DeepTau(DeepTauConfig())
        assert (len(network.inner.convs), len(network.outer.convs)) == (5, 10)
        features = network.outer(*(torch.zeros(2, 21, 21, n) for n in (86, 64, 38)))
    assert features.shape == (2, 64)
