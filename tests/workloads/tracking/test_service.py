from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import sonic
from sonic.errors import InvalidRequest
from sonic.workloads.tracking.service import SOURCE, track_fit
from sonic.workloads.tracking.simulation import Beam, particles, pass_through

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    with sonic.serve(track_fit, cores=1) as made:
        yield made


@pytest.fixture(scope="module")
def hits() -> np.ndarray:
    random = np.random.default_rng(21)
    hits = pass_through(particles(Beam(), 200, random), Beam(), random)
    hits[17], hits[18, 2:] = np.nan, np.nan
    return hits


@pytest.mark.parametrize("where", ["grpc", "http", "local"])
def test_a_fit_is_the_same_by_every_route(server: Any, hits: np.ndarray, where: str) -> None:
    url = {"grpc": server.grpc_url, "http": server.http_url, "local": f"local:{SOURCE}"}[where]
    direct = track_fit(hits)
    assert direct["good"].sum() == 198
    with sonic.Model(f"{url}/track_fit") as model:
        futures = [model.submit(hits=hits[start : start + 7]) for start in range(0, 200, 7)]
        parts = [future.result(30) for future in futures]
    for name, array in direct.items():
        assert np.concatenate([part[name] for part in parts]).tobytes() == array.tobytes()


def test_hits_of_another_detector_are_refused(server: Any) -> None:
    with sonic.Model(f"{server.grpc_url}/track_fit") as model, pytest.raises(InvalidRequest, match="'hits'"):
        model(hits=np.zeros((3, 9, 2)))
