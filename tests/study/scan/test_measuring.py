from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from sonic.errors import ConfigError
from sonic.protocol import modelconfig
from sonic.study import storage
from sonic.study.load.inputs import RandomInputs
from sonic.study.scan.deployment import Place
from sonic.study.scan.measuring import Copies, LoadMeasurement
from sonic.study.scan.run import scan
from sonic.study.scan.spec import Point, parse

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = """
backend: "identity"
max_batch_size: 4
input { name: "x" data_type: TYPE_FP32 dims: [ 2 ] }
output { name: "y" data_type: TYPE_FP32 dims: [ 2 ] }
"""
SPEC = """
target = "m"
[fixed]
models = "models"
round_trip_ms = 4
copies = 2
[grid]
clients = [1, 3]
[measure]
warmup_s = 0.1
window_s = 0.2
tolerance = 10.0
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scan")
    (folder / "models" / "m" / "1").mkdir(parents=True)
    (folder / "models" / "m" / "config.pbtxt").write_text(CONFIG)
    (folder / "mine.toml").write_text(SPEC)
    return folder


def test_points_of_a_real_server_behind_a_real_line(base: Path) -> None:
    path = base / "mine.jsonl"
    records = scan(parse(SPEC), path, base=base, measure=LoadMeasurement(base)).records
    assert storage.read(path) == records
    assert [(record.status, record.settings["clients"]) for record in records] == [("measured", 1), ("measured", 3)]
    for record in records:
        assert record.latencies is not None
        assert record.latencies.least_s >= 0.004  # the line
        window = record.windows[0]
        assert window.server is not None
        assert window.server.requests > 0.7 * window.requests  # of both copies


def test_copies_are_asked_by_turns(base: Path) -> None:
    spec = modelconfig.to_spec(modelconfig.parse('name: "m"' + CONFIG), "1")
    requests = list(Copies(RandomInputs(rows=2), ("m", "m-2")).requests(spec, 0))
    assert [request.model for request in requests[:4]] == ["m", "m-2", "m", "m-2"]
    np.testing.assert_array_equal(requests[0].inputs["x"], requests[1].inputs["x"])


@pytest.mark.parametrize(
    ("target", "settings", "says"),
    [
        ("miniaod", {}, "miniaod is a workflow: set input to a file of events"),
        ("m", {"threads": 2}, "threads is for workflows, and m is a model"),
    ],
)
def test_settings_that_do_not_go_with_the_target(base: Path, target: str, settings: dict[str, int], says: str) -> None:
    spec = parse(f'target = "{target}"')
    with pytest.raises(ConfigError, match=says):
        LoadMeasurement(base)(Point(target, dict(settings)), spec, Place("grpc://127.0.0.1:1"))


def test_inputs_from_a_file(base: Path) -> None:
    spec, place = parse('target = "m"'), Place(f"local:{base / 'models'}")
    record = LoadMeasurement(base)(Point("m", {"input": "gone.npz"}), spec, place)
    assert record.status == "failed"
    assert "gone.npz" in record.reason
