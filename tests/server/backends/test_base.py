from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sonic.errors import ConfigError
from sonic.protocol.modelconfig import parse
from sonic.server.backends import Backend, backend_for, register_backend
from sonic.server.backends.base import bool_parameter, choice_parameter, instance_count, int_parameter
from sonic.server.backends.identity import IdentityBackend
from sonic.server.backends.onnx import OnnxBackend

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("text", ['backend: "onnxruntime"', 'platform: "onnxruntime_onnx"'])
def test_found_by_the_name_in_the_configuration(text: str, tmp_path: Path) -> None:
    assert backend_for(parse(text), tmp_path) == ("onnxruntime", OnnxBackend)


def test_found_by_the_file(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").touch()
    assert backend_for(parse(""), tmp_path) == ("onnxruntime", OnnxBackend)


def test_one_registered_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Mine(IdentityBackend):
        pass

    monkeypatch.setattr("sonic.server.backends.base._registered", {})
    register_backend("onnxruntime", Mine)
    assert backend_for(parse('backend: "onnxruntime"'), tmp_path) == ("onnxruntime", Mine)


def test_unknown(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError,
        match=r"unknown backend 'tensorrt': one of ensemble, fpga, function, identity, onnxruntime, python, pytorch",
    ):
        backend_for(parse('platform: "tensorrt_plan"'), tmp_path)
    with pytest.raises(ConfigError, match="no backend knows the files in"):
        backend_for(parse(""), tmp_path)


def test_parameters() -> None:
    config = parse(
        """parameters { key: "n" value { string_value: "3" } } parameters { key: "c" value { string_value: "b" } }
        parameters { key: "bad" value { string_value: "x" } }"""
    )
    assert (int_parameter(config, "n", 1), int_parameter(config, "m", 1)) == (3, 1)
    assert (choice_parameter(config, "c", ("a", "b")), choice_parameter(config, "m", ("a", "b"))) == ("b", "a")
    with pytest.raises(ConfigError, match="parameter bad is a whole number, given 'x'"):
        int_parameter(config, "bad", 1)
    with pytest.raises(ConfigError, match="parameter bad is one of a, b, given 'x'"):
        choice_parameter(config, "bad", ("a", "b"))
    with pytest.raises(ConfigError, match="parameter bad is true or false, given 'x'"):
        bool_parameter(config, "bad", default=True)
    assert bool_parameter(config, "m", default=True)


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("True", True), ("1", True), ("FALSE", False), ("f", False)]
)
def test_flags_as_triton_reads_them(text: str, value: bool) -> None:
    config = parse(f'parameters {{ key: "flag" value {{ string_value: "{text}" }} }}')
    assert bool_parameter(config, "flag", default=not value) is value


@pytest.mark.parametrize(
    ("text", "cores", "threads", "count"),
    [
        ("", 8, 1, 8),
        ("", 8, 3, 2),
        ("", 2, 4, 1),
        ("instance_group { count: 3 }", 8, 1, 3),
        ("instance_group { count: 3 }", 2, 1, 2),
        ("instance_group { count: 2 } instance_group { count: 1 }", 8, 2, 3),
        ("instance_group { kind: KIND_CPU }", 8, 1, 1),
    ],
)
def test_instances_times_threads_fit_the_cores(text: str, cores: int, threads: int, count: int) -> None:
    assert instance_count(parse(text), cores, threads) == count


def test_a_backend_must_be_complete() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Backend(None)  # type: ignore[abstract, arg-type]
