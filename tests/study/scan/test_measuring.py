from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sonic.errors import ConfigError
from sonic.protocol import modelconfig
from sonic.study import storage
from sonic.study.load.inputs import FileInputs, RandomInputs, RecordedInputs
from sonic.study.load.jobs import Job
from sonic.study.scan import measuring
from sonic.study.scan.deployment import Place
from sonic.study.scan.measuring import Copies, LoadMeasurement
from sonic.study.scan.run import scan
from sonic.study.scan.spec import Point, parse

if TYPE_CHECKING:
    from pathlib import Path

    from sonic.study.load.settings import LoadSettings

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
        ("miniaod", {}, r"miniaod is a workflow: set input in \[fixed\] or \[grid\] to a file of events"),
        ("miniaod", {"rows": 2}, "rows is for models, and miniaod is a workflow"),
        ("m", {"threads": 2}, "threads is for workflows, and m is a model"),
    ],
)
def test_settings_that_do_not_go_with_the_target(base: Path, target: str, settings: dict[str, int], says: str) -> None:
    spec = parse(f'target = "{target}"')
    with pytest.raises(ConfigError, match=says):
        LoadMeasurement(base)(Point(target, dict(settings)), spec, Place("grpc://127.0.0.1:1"))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the load generator was asked for: target, load and inputs."""
    found: list[tuple[Any, ...]] = []

    def measure(target: Any, url: str, load: LoadSettings, **options: Any) -> None:
        found.append((target, load, options.get("inputs")))

    monkeypatch.setattr(measuring, "measure", measure)
    return found


def test_what_the_load_generator_is_asked_for(base: Path, asked: list[tuple[Any, ...]]) -> None:
    shaped = parse('target = "m"\n[measure]\nrepeats = 5\nshapes.x = [1, 2]')
    plain = parse('target = "m"')
    for spec, settings in (
        (shaped, {"clients": 3, "rows": 2}),
        (plain, {"input": "a.npz", "rows": 2}),
        (plain, {"input": "a.npz"}),
        (plain, {"input": "recorded"}),
    ):
        LoadMeasurement(base)(Point("m", dict(settings)), spec, Place("grpc://a:1"))
    assert [inputs for _, _, inputs in asked] == [
        RandomInputs(2, {"x": (1, 2)}),
        FileInputs(str(base / "a.npz"), 2),
        FileInputs(str(base / "a.npz"), None),
        RecordedInputs(str(base / "recorded")),
    ]
    load = asked[0][1]
    assert (load.clients, load.rows, load.repeats) == (3, 2, 5)


def test_the_jobs_of_a_workflow(base: Path, asked: list[tuple[Any, ...]]) -> None:
    point = Point("miniaod", {"clients": 2, "input": "events.root", "chunk_size": 5, "threads": 2})
    LoadMeasurement(base)(point, parse('target = "miniaod"'), Place("grpc://a:1"))
    ((job, load, _),) = asked
    assert job == Job("miniaod", (str(base / "events.root"),), chunk_size=5, threads=2)
    assert load.clients == 2
    LoadMeasurement(base)(Point("mine.py", {"input": "e.root"}), parse('target = "mine.py"'), Place("grpc://a:1"))
    assert asked[1][0] == Job(str(base / "mine.py"), (str(base / "e.root"),))
