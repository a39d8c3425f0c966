from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from sonic.workloads.networks.trackgnn import BLUEPRINTS, LARGE, TrackGNN, TrackGNNConfig  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.timeout(300)
def test_exports_give_what_pytorch_gives_whatever_the_event(exported_alike: Callable[..., Any]):
    torch.manual_seed(0)
    network = TrackGNN(replace(TrackGNNConfig().times(0.2), iterations=2))
    session = exported_alike("trackgnn", network, rows=(1, 2, 50))
    none = np.zeros((2, 0), np.int64)
    for hits in (0, 1, 4):
        (scores,) = session.run(None, {"hits": np.ones((hits, 3), np.float32), "edges": none})
        assert scores.shape == (0,)
        assert network(torch.ones(hits, 3), torch.from_numpy(none)).shape == (0,)
    # Six hits in a row; two iterations and the last look at the edges carry the first hit's features four steps far.
    hits, edges = np.ones((8, 3), np.float32), np.array([range(7), range(1, 8)])
    hits[0, 1] = np.nan
    (scores,) = session.run(None, {"hits": hits, "edges": edges})
    assert np.isnan(scores).tolist() == [True, True, True, False, False, False, False]


@pytest.mark.parametrize("config", [TrackGNNConfig().times(0.2), LARGE.times(0.1)])
@torch.no_grad()
def test_the_order_of_edges_does_not_matter(config: TrackGNNConfig):
    torch.manual_seed(0)
    network = TrackGNN(config).eval()
    hits, edges = torch.randn(20, 3), torch.randint(0, 20, (2, 60))
    scores = network(hits, edges)
    order = torch.randperm(60)
    assert torch.allclose(network(hits, edges[:, order]), scores[order], atol=1e-5)
    assert torch.allclose(torch.sigmoid(network.train()(hits, edges)), scores, atol=1e-6)


def test_it_is_served_with_one_thread():
    config = BLUEPRINTS["trackgnn"].config_pbtxt("trackgnn", "onnxruntime_onnx")
    assert 'key: "intra_op_thread_count" value { string_value: "1" }' in config


@torch.no_grad()
def test_a_hit_that_is_not_there():
    with pytest.raises(IndexError, match="index 3 is out of bounds"):
        TrackGNN(TrackGNNConfig().times(0.1)).eval()(torch.ones(3, 3), torch.tensor([[0], [3]]))


@pytest.mark.data
@torch.no_grad()
def test_the_published_weights_give_the_published_scores(shared_data: Path):
    model, data = shared_data / "models" / "exatrkx_gnn" / "1" / "model.pt", shared_data / "data" / "exatrkx"
    if not (model.is_file() and data.is_dir()):
        pytest.skip(f"no {model} or no {data}")
    network = TrackGNN().eval()
    published = torch.jit.load(model, map_location="cpu").state_dict()
    names = {"input_network.": "embedding.", "edge_network.network.": "edge.", "node_network.network.": "node."}
    renamed = {}
    for name, tensor in published.items():
        (old,) = (old for old in names if name.startswith(old))
        renamed[names[old] + name.removeprefix(old)] = tensor
    network.load_state_dict(renamed)
    hits = np.loadtxt(data / "in_e1000.csv", delimiter=",", dtype=np.float32, ndmin=2)[:, :3]
    reference = data / "reference"
    edges = np.loadtxt(reference / "applyfilter_output_EDGE_LIST_AFTER_FILTER.csv", delimiter=",").astype(np.int64)
    logits = np.loadtxt(reference / "gnn_output_OUTPUT__0.csv", delimiter=",", dtype=np.float32)
    scores = network(torch.from_numpy(hits), torch.from_numpy(edges.reshape(2, -1))).numpy()
    assert np.abs(scores - 1 / (1 + np.exp(-logits))).max() < 1e-4
