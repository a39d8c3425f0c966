from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

import sonic  # noqa: E402
from sonic.errors import SonicError  # noqa: E402
from sonic.workloads import export, zoo  # noqa: E402
from sonic.workloads.networks.gravnet import GravNet, GravNetConfig, GravNetLayer, exchange  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.timeout(300)
def test_exports_give_what_pytorch_gives_whatever_the_event(exported_alike: Callable[..., Any]):
    torch.manual_seed(0)
    network = GravNet(replace(GravNetConfig().times(0.2), blocks=1, neighbours=10))
    session = exported_alike("gravnet-oc", network, rows=(1, 2, 9, 60))
    for hits in (0, 1):
        event = np.ones((hits, 5), np.float32)
        beta, coordinates = session.run(None, {"hits": event})
        ours = network(torch.from_numpy(event))
        assert (beta.shape, coordinates.shape) == ((hits,), (hits, 3)) == tuple(tuple(t.shape) for t in ours)
        assert np.isfinite(beta).all()
    event = np.ones((30, 5), np.float32)
    event[7, 2] = np.nan
    for output in (
        *session.run(None, {"hits": event}),
        *(t.detach().numpy() for t in network(torch.from_numpy(event))),
    ):
        assert np.isnan(output).all()


def test_events_of_any_length_served(tmp_path: Path):
    for name in ("gravnet-oc", "trackgnn"):
        zoo.build(name, tmp_path, weights="random", width=0.1, seed=2, format="torchscript")
    network = export.random_network("gravnet-oc", 0.1, 2)
    with sonic.serve(tmp_path) as server, sonic.Client([server.grpc_url]) as client:
        showers, tracker = client.model("gravnet-oc"), client.model("trackgnn")
        for hits in (0, 1, 3, 120):
            event = export.example_inputs("gravnet-oc", hits)
            found = showers(**event)
            with torch.no_grad():
                beta, coordinates = network(torch.from_numpy(event["hits"]))
            assert np.allclose(found["beta__0"], beta, atol=1e-5)
            assert np.allclose(found["coordinates__1"], coordinates, atol=1e-4)
        for hits, edges in ((0, 0), (1, 0), (1, 1), (9, 20)):
            joined = np.zeros((2, edges), np.int64)
            assert tracker(hits=np.ones((hits, 3), np.float32), edges=joined)["scores__0"].shape == (edges,)
        with pytest.raises(SonicError, match="index 9 is out of"):
            tracker(hits=np.ones((2, 3), np.float32), edges=np.array([[0], [9]]))


@torch.no_grad()
def test_the_order_of_hits_does_not_matter():
    torch.manual_seed(0)
    network = GravNet(GravNetConfig().times(0.25)).eval()
    hits, order = torch.randn(70, 5), torch.randperm(70)
    beta, coordinates = network(hits)
    shuffled = network(hits[order])
    assert torch.allclose(shuffled[0], beta[order], atol=1e-4)
    assert torch.allclose(shuffled[1], coordinates[order], atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("count", [3, 12, 41])
def test_a_layer_gathers_from_the_nearest(count: int):
    torch.manual_seed(0)
    config = replace(GravNetConfig(), neighbours=5, moved=3)
    layer = GravNetLayer(4, 2, config).double()
    hits = torch.randn(count, 4, dtype=torch.float64)
    place, moved = layer.space(hits), layer.moved(hits)
    rows = []
    for i in range(count):
        squares = ((place - place[i]) ** 2).sum(1)
        near = squares.argsort()[:5]
        messages = torch.exp(-10 * squares[near])[:, None] * moved[near]
        rows.append(torch.cat((messages.mean(0), messages.amax(0))))
    expected = layer.own(hits) + layer.gathered(torch.stack(rows))
    assert torch.allclose(layer(hits), expected)


def test_everyone_hears_of_mean_least_and_greatest():
    hits = torch.tensor([[1.0, 5.0], [3.0, -1.0]])
    rows = exchange(hits)
    assert rows.tolist() == [[1, 5, 2, 2, 1, -1, 3, 5], [3, -1, 2, 2, 1, -1, 3, 5]]
    assert exchange(hits[:0]).shape == (0, 8)
