from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

import sonic
from sonic.errors import ConfigError, InvalidRequest
from sonic.firmware.backend import Checks, FpgaBackend
from sonic.protocol.proto.model_config_pb2 import ModelConfig
from sonic.server.backends.base import LoadContext

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sonic.firmware.build import Firmware


@pytest.fixture(scope="module")
def models(built: Firmware, traced: Firmware, tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = tmp_path_factory.mktemp("models")
    for name, firmware, config in (
        ("compiled", built, ""),
        ("traced", traced, ""),
        ("strict", built, 'backend: "fpga"\nparameters { key: "invalid" value { string_value: "refuse" } }\n'),
    ):
        shutil.copytree(firmware.folder, repository / name / "1")
        if config:
            (repository / name / "config.pbtxt").write_text(config)
    return repository


@pytest.fixture(scope="module")
def url(models: Path) -> Iterator[str]:
    with sonic.serve(models) as server:
        yield server.grpc_url


def test_a_service_has_the_bits_of_the_firmware(url: str, built: Firmware, traced: Firmware) -> None:
    for name, firmware in (("compiled", built), ("traced", traced)):
        given, made = firmware.network.names
        x = np.random.default_rng(1).normal(size=(40, *firmware.network.given_shape)).astype(np.float32) * 20
        rows = np.moveaxis(x, 1, -1) if firmware.network.transposed else x
        with sonic.Model(f"{url}/{name}") as model:
            assert model.spec.platform == "fpga_emulator"
            answer = model(**{given: x})[made]
            alone = [model(**{given: row[None]})[made] for row in x[:3]]
        assert np.array_equal(answer, firmware.reference(rows).astype(np.float32))
        assert np.array_equal(answer[:3], np.concatenate(alone))


def test_the_job_itself_has_them_as_well(models: Path, built: Firmware) -> None:
    x = np.random.default_rng(2).normal(size=(5, 6)).astype(np.float32)
    with sonic.Model(f"local:{models}/compiled") as model:
        assert np.array_equal(model(features=x)["scores"], built.reference(x).astype(np.float32))


def test_an_event_loop_executes_an_emulator_itself_and_waits_for_no_card(built: Firmware) -> None:
    for device, steady in (("emulator", True), ("modelled", False)):
        config = ModelConfig()
        config.parameters["device"].string_value = device
        backend = FpgaBackend(LoadContext("m", "1", built.folder, config, cores=2))
        assert backend.steady is steady
        backend.close()


def test_rows_that_are_no_numbers(url: str) -> None:
    x = np.zeros((4, 6), np.float32)
    x[1, 2], x[3, 0] = np.nan, 1e9
    with sonic.Model(f"{url}/compiled") as model:
        answer = model(features=x)["scores"]
    assert np.isnan(answer).any(axis=1).tolist() == [False, True, False, False]
    assert np.array_equal(answer[0], answer[2])


def test_they_are_counted(built: Firmware) -> None:
    checks = Checks("m", built, refuses=False)
    x = np.zeros((4, 6))
    x[1, 2], x[3, 0], x[3, 1] = np.inf, 1e9, -32.5
    for _ in range(2):
        assert checks.look(x).tolist() == [False, True, False, False]
    assert (checks.invalid, checks.outside) == (2, 4)


def test_what_is_not_what_it_was_is_not_served(built: Firmware, tmp_path: Path) -> None:
    shutil.copytree(built.folder, tmp_path / "compiled" / "1")
    assert built.library is not None
    library = tmp_path / "compiled" / "1" / built.library.relative_to(built.folder)
    library.write_bytes(library.read_bytes()[:-1])
    with pytest.raises(ConfigError, match="is not what it was when the firmware was built"):
        sonic.serve(tmp_path)


def test_they_can_be_refused(url: str) -> None:
    with sonic.Model(f"{url}/strict") as model:
        for value, says in ((np.nan, "1 rows are not finite"), (1e9, r"1 numbers are outside of ap_fixed<14,6>")):
            x = np.zeros((4, 6), np.float32)
            x[1, 2] = value
            with pytest.raises(InvalidRequest, match=says):
                model(features=x)
