from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest

import sonic
from sonic.errors import InvalidRequest
from sonic.workloads import MODELS
from sonic.workloads.hcal.features import energies, inputs
from sonic.workloads.hcal.geometry import channels
from sonic.workloads.hcal.mahi import Flag
from sonic.workloads.hcal.service import SOURCE, facile, pulse_fit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sonic.workloads.hcal.simulation import Conditions, Event


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    with sonic.serve(MODELS, cores=1, models=["pulse_fit", "facile-v5"]) as made:
        yield made


@pytest.fixture(scope="module")
def arrays(hcal_event: Event, hcal_known: Conditions) -> dict[str, np.ndarray]:
    charge = hcal_event.charge_fc[:600]
    charge[17, 3], charge[18] = np.nan, 0
    return {"charge_fc": charge, **{name: values[:600] for name, values in vars(hcal_known).items()}}


@pytest.mark.parametrize("where", ["grpc", "http", "local"])
def test_a_fit_is_the_same_by_every_route(server: Any, arrays: dict[str, np.ndarray], where: str) -> None:
    url = {"grpc": server.grpc_url, "http": server.http_url, "local": f"local:{SOURCE}"}[where]
    direct = pulse_fit(**arrays)
    assert direct["flags"][17:19].tolist() == [Flag.INVALID, Flag.EMPTY]
    with sonic.Model(f"{url}/pulse_fit") as model:
        starts = range(0, 600, 70)
        futures = [model.submit(**{n: each[at : at + 70] for n, each in arrays.items()}) for at in starts]
        parts = [future.result(30) for future in futures]
    for name, array in direct.items():
        assert np.concatenate([part[name] for part in parts]).tobytes() == array.tobytes()


def test_other_slices_are_refused(server: Any, arrays: dict[str, np.ndarray]) -> None:
    with sonic.Model(f"{server.grpc_url}/pulse_fit") as model, pytest.raises(InvalidRequest, match="'charge_fc'"):
        model(**{**arrays, "charge_fc": arrays["charge_fc"][:, :6]})


@pytest.mark.parametrize("where", ["grpc", "http", "local"])
def test_facile_gives_the_same_bits_by_every_route(
    server: Any, hcal_event: Event, hcal_known: Conditions, where: str
) -> None:
    some = channels()[:600]
    charge, known = hcal_event.charge_fc[:600].copy(), hcal_known[:600]
    charge[17, 3], charge[18], charge[19] = np.nan, 0, 1e9
    file = MODELS / "facile-v5" / "1" / "model.onnx"
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    direct = energies(session.run(None, {"input": inputs(charge, some, known.gain_gev)})[0])
    assert np.isfinite(direct).all()
    url = {"grpc": server.grpc_url, "http": server.http_url, "local": f"local:{MODELS}"}[where]
    with sonic.Model(f"{url}/facile-v5") as model:
        parts = [
            facile(model, charge[at], known[at], some[at])
            for at in (slice(0, 1), slice(1, 200), slice(200, 467), slice(467, 600))
        ]
    assert np.concatenate(parts).tobytes() == direct.tobytes()


def test_no_channels_have_no_energies(server: Any, hcal_known: Conditions) -> None:
    with sonic.Model(f"{server.grpc_url}/facile-v5") as model:
        assert facile(model, np.zeros((0, 8)), hcal_known[:0], channels()[:0]).shape == (0,)
