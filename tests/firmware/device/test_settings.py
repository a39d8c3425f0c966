"""Cards as a server has them, from config.pbtxt to the answer."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import httpx
import numpy as np
import pytest

import sonic
from sonic.client.settings import ClientSettings
from sonic.errors import ConfigError, ModelFailed, Unavailable
from sonic.firmware.device.settings import read
from sonic.firmware.device.timing import CardModel
from sonic.protocol.proto.model_config_pb2 import ModelConfig

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from sonic.firmware.build import Firmware

    from .conftest import FakeCard

ONCE = ClientSettings(tries=1)


def parameters(values: Mapping[str, object]) -> str:
    return "".join(
        f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}\n' for key, value in values.items()
    )


def config(**values: object) -> ModelConfig:
    made = ModelConfig()
    for name, value in values.items():
        made.parameters[name].string_value = str(value)
    return made


def put(built: Firmware, folder: Path, name: str, values: Mapping[str, object], more: str = "") -> Path:
    shutil.copytree(built.folder, folder / name / "1")
    (folder / name / "config.pbtxt").write_text('backend: "fpga"\n' + parameters(values) + more)
    return folder / name


@pytest.fixture(scope="module")
def server(built: Firmware, tmp_path_factory: pytest.TempPathFactory) -> Iterator[sonic.Server]:
    folder = tmp_path_factory.mktemp("models")
    put(built, folder, "modelled", {"device": "modelled", "units": 3, "clock_mhz": 250.5})
    whole = "dynamic_batching { preferred_batch_size: 64 max_queue_delay_microseconds: 60000000 }\n"
    put(built, folder, "blocks", {"device": "modelled", "block": 64}, "max_batch_size: 64\n" + whole)
    put(built, folder, "stuck", {"device": "modelled", "interval": 1e9, "timeout_s": 0.01})
    with sonic.serve(folder) as running:
        yield running


def rows_of(n: int) -> np.ndarray:
    return np.random.default_rng(n).normal(size=(n, 6)).astype(np.float32)


def test_a_modelled_card_has_the_bits_and_says_what_it_is(server: sonic.Server, built: Firmware) -> None:
    x = rows_of(5)
    with sonic.Model(f"{server.grpc_url}/modelled") as model:
        assert model.spec.platform == "fpga_modelled"
        assert np.array_equal(model(features=x)["scores"], built.reference(x).astype(np.float32))
    base = f"{server.http_url}/v2/models/modelled"
    found = httpx.get(f"{base}/config").json()
    assert found["parameters"]["sonic_modelled"]["string_value"] == "true"
    assert (found["max_batch_size"], found["instance_group"][0]["count"]) == (16_384, 6)
    assert found["dynamic_batching"]["preferred_batch_size"] == [16_384]
    body = {"inputs": [{"name": "features", "datatype": "FP32", "shape": [1, 6], "data": [0.0] * 6}]}
    said = httpx.post(f"{base}/infer", json=body).json()["parameters"]
    assert said["sonic_modelled"] is True
    card = CardModel(units=3, clock_mhz=250.5, row_bytes_out=4)
    assert said["sonic_modelled_us"] == pytest.approx(1e6 * card.block_s, rel=0.01)
    assert said["sonic_late_us"] >= 0


def test_requests_fill_blocks(server: sonic.Server, built: Firmware) -> None:
    with sonic.Model(f"{server.grpc_url}/blocks") as model:
        x = rows_of(128)
        futures = [model.submit(features=part) for part in np.split(x, 16)]
        answers = np.concatenate([future.result()["scores"] for future in futures])
    assert np.array_equal(answers, built.reference(x).astype(np.float32))
    (found,) = httpx.get(f"{server.http_url}/v2/models/blocks/stats").json()["model_stats"]
    assert (found["inference_count"], found["execution_count"]) == (128, 2)


def test_a_card_that_takes_too_long(server: sonic.Server) -> None:
    with (
        sonic.Model(f"{server.grpc_url}/stuck", settings=ONCE) as model,
        pytest.raises(Unavailable, match=r"has not answered in 0\.01 s"),
    ):
        model(features=rows_of(1))


def test_a_real_card(built: Firmware, card: FakeCard, tmp_path: Path) -> None:
    def compute(given: np.ndarray) -> np.ndarray:
        rows = given.view("<i2").reshape(64, -1)[:, :6] * built.precision.input.step
        made = built.precision.of(built.network.output).result
        return (built.reference(rows) / made.step).astype("<i2").reshape(-1).view(np.uint8)

    card.compute = compute
    values = {"device": "xrt", "block": 64, "compute_units": "alveo_hls4ml_2 alveo_hls4ml_1", "timeout_s": 0.05}
    folder = put(built, tmp_path, "real", values)
    (folder / "1" / "card.xclbin").write_bytes(b"xclbin2\0")
    x = rows_of(150)
    expected = built.reference(x).astype(np.float32)
    with sonic.serve(tmp_path) as running, sonic.Model(f"{running.grpc_url}/real") as model:
        assert model.spec.platform == "fpga_xrt"
        parts = np.split(x, 10)
        futures = [model.submit(features=part) for part in parts]
        assert np.array_equal(np.concatenate([future.result()["scores"] for future in futures]), expected)
        card.units["alveo_hls4ml_2"] = "hangs"
        futures = [model.submit(features=part) for part in parts]
        assert np.array_equal(np.concatenate([future.result()["scores"] for future in futures]), expected)
    assert set(card.ran) == set(card.units)


@pytest.mark.usefixtures("card")
def test_a_card_that_is_not_there_is_said_when_it_is_loaded(built: Firmware, tmp_path: Path) -> None:
    put(built, tmp_path, "real", {"device": "xrt"})
    with (
        pytest.raises(ModelFailed, match=r"there is no .*card\.xclbin; without a card there are device emulator and"),
        sonic.Model(f"local:{tmp_path}/real") as model,
    ):
        model(features=rows_of(1))


def test_settings_of_a_card(built: Firmware) -> None:
    device = read(config(device="modelled", units=2, pcie_gbps="12.5", timeout_s=3), built)
    assert device.model == CardModel(units=2, pcie_gbps=12.5, row_bytes_in=64, row_bytes_out=4)
    assert device.timeout_s == 3.0
    assert read(config(), built).kind == "emulator"


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"device": "gpu"}, "parameter device is one of emulator, modelled, xrt, given 'gpu'"),
        ({"units": "two"}, "parameter units is a whole number, given 'two'"),
        ({"pcie_gbps": "fast"}, "parameter pcie_gbps is a number, given 'fast'"),
        ({"buffers": 0}, "a card's buffers is finite, and above zero, given 0"),
        ({"block": -1}, "a card's block is finite, and above zero, given -1"),
        ({"pcie_gbps": "inf"}, "a card's pcie_gbps is finite, and above zero, given inf"),
        ({"timeout_s": "nan"}, "parameter timeout_s is above zero, and .* at most, given nan"),
        ({"timeout_s": "inf"}, "parameter timeout_s is above zero, and .* at most, given inf"),
    ],
)
def test_settings_that_make_no_sense(built: Firmware, values: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        read(config(**values), built)
