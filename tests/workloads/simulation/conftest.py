"""Particles made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sonic.workloads.simulation.pythia import Particles


@pytest.fixture
def make_particles():
    """Return a function that makes particles of one kind from columns; whatever is not given is 0."""

    def make(
        n: int = 1, pdg_id: int = 211, charge: int = 0, pt: Any = 1.0, eta: Any = 0.0, phi: Any = 0.0, **rest: Any
    ):
        pt, eta, phi = (np.broadcast_to(np.asarray(v, float), n) for v in (pt, eta, phi))
        columns = {
            "event": 0,
            "vx": 0.0,
            "vy": 0.0,
            "vz": 0.0,
            "collision": 0,
            "pdg_id": pdg_id,
            "charge": charge,
            "px": pt * np.cos(phi),
            "py": pt * np.sin(phi),
            "pz": pt * np.sinh(eta),
            "energy": np.hypot(pt * np.cosh(eta), 0.14 if charge else 0.0),
        } | rest
        kinds = {"event": np.int64, "pdg_id": np.int32, "charge": np.int32, "collision": np.int32}
        return Particles(
            **{
                name: np.broadcast_to(np.asarray(value, kinds.get(name, np.float64)), n).copy()
                for name, value in columns.items()
            }
        )

    return make
