from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from sonic.errors import ConfigError, InvalidRequest, Unsupported
from sonic.protocol.messages import InferRequest
from sonic.server.tracing import Tracer

if TYPE_CHECKING:
    from pathlib import Path


def trace(tracer: Tracer, count: int, model: str = "m") -> list[bool]:
    taken = []
    for number in range(count):
        begun = tracer.sample(InferRequest(model, {}, id=str(number)), "1")
        taken.append(begun is not None)
        if begun is not None:
            begun.end()
    return taken


def test_a_file_is_whole_after_every_trace(tmp_path: Path) -> None:
    tracer = Tracer(tmp_path / "t")
    assert json.loads((tmp_path / "t").read_text()) == []
    tracer.update({"trace_level": ["TIMESTAMPS"], "trace_rate": ["1"]})
    for number in range(3):
        trace(tracer, 1)
        assert [row["id"] for row in json.loads((tmp_path / "t").read_text())] == list(range(1, number + 2))


def test_traces_in_numbered_files(tmp_path: Path) -> None:
    tracer = Tracer(tmp_path / "t")
    tracer.update({"trace_level": ["TIMESTAMPS"], "trace_rate": ["1"], "log_frequency": ["2"]})
    trace(tracer, 5)
    assert [len(json.loads((tmp_path / f"t.{n}").read_text())) for n in range(3)] == [2, 2, 1]


def test_a_model_has_its_own_settings_or_the_common_ones(tmp_path: Path) -> None:
    tracer = Tracer(tmp_path / "t")
    assert not tracer.active
    tracer.update({"trace_level": ["TIMESTAMPS"], "trace_rate": ["3"]}, "m")
    assert tracer.active
    assert trace(tracer, 4, "other") == [False] * 4
    assert trace(tracer, 6) == [False, False, True] * 2
    tracer.update({"trace_level": ["OFF"]}, "m")
    assert (tracer.active, trace(tracer, 4)) == (False, [False] * 4)
    tracer.update({"trace_level": ["TIMESTAMPS"], "trace_rate": ["1"], "trace_count": ["2"]})
    assert trace(tracer, 3, "other") == [True, True, False]
    tracer.update({"trace_level": None}, "m")
    assert tracer.read("m")["trace_level"] == ("TIMESTAMPS",)
    assert tracer.update({"trace_level": None, "trace_count": None}) == {**Tracer().read(), "trace_rate": ("1",), "trace_file": (str(tmp_path / "t"),)}  # fmt: skip # noqa: E501
    assert not tracer.active


def test_nothing_changes_if_one_setting_is_wrong(tmp_path: Path) -> None:
    tracer = Tracer(tmp_path / "t")
    before = tracer.read()
    for name, values, kind in (
        ("trace_rate", ["x"], InvalidRequest),
        ("trace_rate", ["-1"], InvalidRequest),
        ("trace_rate", ["1", "2"], InvalidRequest),
        ("trace_count", ["-2"], InvalidRequest),
        ("trace_count", ["9" * 40], InvalidRequest),
        ("trace_level", [], InvalidRequest),
        ("trace_level", ["TENSORS"], Unsupported),
        ("trace_mode", ["opentelemetry"], Unsupported),
        ("nope", ["1"], InvalidRequest),
    ):
        with pytest.raises(kind, match=name):
            tracer.update({"log_frequency": ["7"], name: values})
    assert tracer.read() == before


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot write traces to .*: No such file"):
        Tracer(tmp_path / "absent" / "t")


def test_settings_of_the_start_are_what_is_gone_back_to(tmp_path: Path) -> None:
    tracer = Tracer(tmp_path / "t", {"trace_level": "TIMESTAMPS", "trace_rate": "2"})
    assert tracer.active
    assert trace(tracer, 4) == [False, True, False, True]
    assert tracer.update({"trace_rate": ["5"], "trace_level": ["OFF"]})["trace_rate"] == ("5",)
    back = tracer.update({"trace_rate": None, "trace_level": None})
    assert (back["trace_rate"], back["trace_level"]) == (("2",), ("TIMESTAMPS",))


@pytest.mark.parametrize(
    ("file", "settings", "error"),
    [
        (True, {"trace_rate": "0"}, "trace_rate is a number from 1, given '0'"),
        (True, {"colour": "red"}, "no trace setting 'colour'"),
        (False, {"trace_level": "TIMESTAMPS"}, "there is no file for traces"),
    ],
)
def test_settings_that_make_no_start(file: bool, settings: dict[str, str], error: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=error):
        Tracer(tmp_path / "t" if file else None, settings)
