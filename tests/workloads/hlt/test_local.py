from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from sonic.errors import ConfigError
from sonic.workloads.hcal.geometry import channels
from sonic.workloads.hcal.mahi import MAHI
from sonic.workloads.hcal.pulse import decode, encode
from sonic.workloads.hlt.local import FacileEnergies, FitEnergies, ServedFitEnergies, digis, reconstruction
from sonic.workloads.hlt.sample import calibration, pack

CHANNEL = [[5, 100, 9000], [], [15_839, 15_840, -1]]
"""Of three events; two of the last are no channels."""


@pytest.fixture
def few(rng: np.random.Generator) -> ak.Array:
    counts = [len(row) for row in CHANNEL]
    codes = encode(rng.uniform(60, 3000, (sum(counts), 8)))
    return ak.Array(
        {
            "Digi_channel": ak.values_astype(ak.Array(CHANNEL), np.int32),
            "Digi_slices": ak.unflatten(pack(codes), counts),
        }
    )


def test_digis_of_channels_that_are_not_there_have_no_energy(few: ak.Array) -> None:
    read = digis(few)
    assert read.known.tolist() == [True, True, True, True, False, False]
    assert read.charge_fc.shape == (4, 8)
    energy = FitEnergies().produce(few)["Digi_energy"]
    assert ak.num(energy).tolist() == [3, 0, 3]
    assert energy[2][1:].tolist() == [0, 0]


def test_the_fit_is_that_of_the_calorimeter(few: ak.Array) -> None:
    read = digis(few)
    fitted = MAHI.fit(decode(encode(read.charge_fc)), calibration()[read.channel]).energy_gev
    found = ak.flatten(FitEnergies().produce(few)["Digi_energy"]).to_numpy()
    assert found[:4].tobytes() == fitted.astype(np.float32).tobytes()


def test_energies_that_are_no_numbers_are_none(few: ak.Array) -> None:
    found = ServedFitEnergies().produce(few, {"energy_gev": np.array([np.nan, 1.0, np.inf, 2.0])})["Digi_energy"]
    assert found.tolist() == [[0, 1, 0], [], [2, 0, 0]]
    found = FacileEnergies().produce(few, {"output": np.array([[-1], [1], [2], [3]], np.float32)})["Digi_energy"]
    assert found.tolist() == [[0, 1, 2], [], [3, 0, 0]]


def test_the_name_of_the_model_says_which_inputs_it_has(few: ak.Array) -> None:
    for name, width in (("facile-v5", 46), ("facile-v2", 47), ("facile-fpga", 18), ("hcal.fpga.card_7", 18)):
        module = reconstruction(name)
        assert isinstance(module, FacileEnergies)
        assert module.model == name
        assert module.acquire(few)["input"].shape == (4, width)
    assert isinstance(reconstruction("fit"), FitEnergies)
    assert isinstance(reconstruction("pulse_fit"), ServedFitEnergies)
    with pytest.raises(ConfigError, match="'facile' for HCAL: expected fit, pulse_fit, or a name with v2, v5, fpga"):
        reconstruction("facile")
    with pytest.raises(ConfigError, match="model 'facile-v51'"):
        reconstruction("facile-v51")


@pytest.mark.parametrize("hcal", ["facile-v5", "pulse_fit"])
def test_events_without_digis_call_no_model(hcal: str, few: ak.Array) -> None:
    module = reconstruction(hcal)
    inputs = module.acquire(few[1:2])
    assert all(len(array) == 0 for array in inputs.values())
    assert module.produce(few[1:2], {})["Digi_energy"].tolist() == [[]]
    assert len(channels()) == 15_840
