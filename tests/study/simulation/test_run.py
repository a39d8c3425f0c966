from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from sonic.errors import ConfigError, DataError
from sonic.study import storage
from sonic.study.models.protodune import ProtoDune
from sonic.study.published import study
from sonic.study.records import Estimate
from sonic.study.simulation.examples import find, names
from sonic.study.simulation.run import beside_published, load, replaced, simulate
from sonic.study.simulation.specfile import unfold
from sonic.study.simulation.tables import COLUMNS, row, varied

TREE: dict[str, Any] = {
    "target": "t",
    "models": {"m": {"service": {"execution_s": 0.01}, "row_bytes": 100}},
    "servers": [{}],
    "clients": {"rows": 2},
    "window_s": 5.0,
    "warmup_s": 0.0,
    "repeats": 2,
    "grid": {"clients": [1, 2]},
}


def test_a_record_says_that_it_is_simulated_and_reads_like_a_measured_one(tmp_path: Path) -> None:
    told: list[float] = []
    records = [simulate(spec, settings, told.append) for settings, spec in unfold(TREE, "test")]
    storage.write(records, tmp_path / "records.jsonl")
    first, second = storage.read(tmp_path / "records.jsonl")
    assert first.settings == {"seed": 1, "servers": 1, "clients": 1, "rows": 2, "simulated": True}
    assert (first.status, len(first.windows)) == ("measured", 2)
    assert first.throughput is not None
    assert first.throughput.value == pytest.approx(100, rel=0.01)
    assert first.row_rate is not None
    assert first.row_rate.value == pytest.approx(200, rel=0.01)
    assert first.latencies is not None
    assert first.latencies.mean_s == pytest.approx(0.01)
    server = first.windows[0].server
    assert server is not None
    assert (server.batch_rows, server.gpu_use) == (2.0, pytest.approx(1.0, abs=0.01))
    assert first.windows[0].bytes_sent == 100 * first.windows[0].rows
    assert first.details["steps_per_s"] == pytest.approx(first.details["steps"] / first.details["took_s"])
    assert "events_per_s" not in first.details  # which would be taken for that of jobs
    assert told == sorted(told[:40]) + sorted(told[40:])
    assert told[39] == told[-1] == 1.0
    assert varied([first, second]) == ["clients"]
    cells = [cell(second) for cell in COLUMNS.values()]
    assert row(second, ["clients"]) == ["2"]
    assert cells[0].startswith("100")
    assert cells[list(COLUMNS).index("GPU\nbusy")] == "100%"
    quick = structs.replace(first.windows[0].server, queue_s=2e-8)
    crowd = structs.replace(
        second,
        settings={"jobs": 10_000},
        row_rate=Estimate(9885.2),
        windows=(structs.replace(first.windows[0], server=quick),),
    )
    assert row(crowd, ["jobs"]) == ["10,000"]
    assert COLUMNS["events/s"](crowd) == "9,885.2"
    assert COLUMNS["queue\n(ms)"](crowd) == "<0.001"  # and no power of ten


@pytest.mark.parametrize(
    ("rate", "service_s", "status", "reason"),
    [
        (80.0, 0.01, "measured", ""),
        (105.0, 0.01, "unstable", "latency grows by 0.0"),
        (150.0, 0.01, "unstable", "latency grows by 0.3"),
        (0.1, 0.01, "measured", ""),  # parts of the window without a request
        (1.0, 500.0, "unstable", "no request ended in 50 s"),
    ],
)
def test_an_open_loop_beyond_what_servers_can_do_is_not_measured(
    rate: float, service_s: float, status: str, reason: str
) -> None:
    more = {"service": {"execution_s": service_s}, "max_queue": 0, "learns": False}
    tree = {name: each for name, each in TREE.items() if name not in ("clients", "grid")}
    tree |= {"models": {"m": more}, "arrivals": {"rate": rate}, "window_s": 50.0}
    ((settings, spec),) = unfold(tree, "test")
    record = simulate(spec, settings)
    assert record.status == status
    assert record.reason.startswith(reason)
    assert bool(record.reason) == bool(reason)


@pytest.mark.parametrize(
    ("changes", "status", "reason"),
    [
        ({"clients": {"think_s": 1e3}}, "unstable", "no request ended in 5 s"),
        ({"client": {"timeout_s": 0.001}}, "failed", "all of "),
        ({"clients": None, "arrivals": {"rate": 9.0}, "client": {"timeout_s": 0.001}}, "failed", "all of "),
        ({"clients": None, "jobs": {"modules": [{"name": "r", "cpu_s": 60.0}]}}, "unstable", "no chunk ended in 5 s"),
    ],
)
def test_where_nothing_is_done_nothing_is_measured(changes: dict[str, Any], status: str, reason: str) -> None:
    tree = {name: value for name, value in (TREE | {"grid": {}} | changes).items() if value is not None}
    ((settings, spec),) = unfold(tree, "test")
    record = simulate(spec, settings)
    assert record.status == status
    assert record.reason.startswith(reason)


def test_what_servers_are_called_in_plans_is_recorded() -> None:
    spec = unfold({**TREE, "server_kind": "T4", "window_s": 0.1, "grid": {}}, "test")[0][1]
    assert simulate(spec).settings["server_kind"] == "T4"


def test_what_is_no_text_is_no_spec(tmp_path: Path) -> None:
    (tmp_path / "spec.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match=r"cannot read .*spec.toml: it is no text"):
        load(tmp_path / "spec.toml")


def test_a_spec_is_read_from_a_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*no\.toml: No such file"):
        load(tmp_path / "no.toml")
    (tmp_path / "no.toml").write_text("x")
    with pytest.raises(ConfigError, match=r"no\.toml is not TOML"):
        load(tmp_path / "no.toml")


@pytest.mark.parametrize("name", [name for name in names() if len(find(name)) == 1])
def test_what_ships_is_sound(name: str) -> None:
    points = load(find(name)[0])
    spec = replaced(points[0][1], repeats=1, seed=7)
    assert (spec.repeats, spec.seed, bool(spec.about)) == (1, 7, True)
    settings = {"jobs": 4} if spec.jobs else {}
    scaled = structs.replace(spec, window_s=2.0, warmup_s=0.1)
    if spec.jobs is not None:
        scaled = structs.replace(scaled, jobs=structs.replace(spec.jobs, number=4, stagger_s=0.0))
    assert simulate(scaled, settings).details["steps"] > 0


def test_specs_are_found_by_name() -> None:
    assert len(find("protodune")) == 4
    assert "protodune" in names()
    assert find("some/file.toml") == (Path("some/file.toml"),)
    with pytest.raises(ConfigError, match=r"no spec 'miniaod-ak5'.*similar: miniaod-ak4"):
        find("miniaod-ak5")


def test_a_scan_stands_beside_the_points_of_its_paper() -> None:
    tree = TREE | {"grid": {"jobs": [100]}, "published": {"study": "miniaod-ak4", "curve": "AK4"}}
    del tree["clients"]
    tree["warmup_s"] = 1.1
    tree["jobs"] = {"modules": [{"name": "rest", "cpu_s": 0.5}], "threads": 2}
    ((settings, spec),) = unfold(tree, "test")
    (compared,) = beside_published([simulate(replaced(spec, repeats=1), settings)], spec)
    assert (compared.what, compared.at, compared.there) == ("events_per_s_per_job", "jobs=100", 4.01)
    assert compared.deviation == pytest.approx(4 / 4.01 - 1, abs=0.02)
    with pytest.raises(ConfigError, match="no scan 'AK5'"):
        beside_published([], structs.replace(spec, published=structs.replace(spec.published, curve="AK5")))


def test_a_job_that_is_alone_takes_as_long_as_its_papers_formula_has_it() -> None:
    ((settings, spec),) = load(find("protodune-4gpus-unbatched")[0], {"jobs": (1,), "jobs.modules.scatter": (0.0,)})
    inputs = study("protodune").inputs
    gpu_s = inputs["gpu_s_without_batching"]
    alone = ProtoDune(
        cpu_s=inputs["cpu_s"],
        offloaded_part=inputs["offloaded_part"],
        gpu_s=gpu_s,
        transmit_s=inputs["transmit_s"],
        travel_s=inputs["travel_s"],
    )
    module = next(each for each in spec.jobs.modules if each.model) if spec.jobs else None
    assert module is not None
    found = simulate(spec, settings)
    assert found.details["module_s"] == pytest.approx(module.acquire_s + float(alone.module_s(1)), rel=0.01)
