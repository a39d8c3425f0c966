from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec import structs

from sonic.errors import DataError
from sonic.study.records import Executions
from sonic.study.simulation.calibration import calibrate
from sonic.study.simulation.run import beside_measured, like, simulate
from sonic.study.simulation.specfile import unfold

if TYPE_CHECKING:
    from sonic.study.records import Record

TRUE = {"execution_s": 3e-3, "row_s": 1e-3}


def as_measured(clients: int, batch: int, delay_us: float = 0.0, own_cores: float = 0.0) -> Record:
    """Simulate a server whose figures are known, and give it out as measured, with processor times."""
    tree = {
        "target": "m",
        "models": {"m": {"service": TRUE, "max_rows": batch, "delay_us": delay_us, "threads": 1}},
        "servers": [{"cores": own_cores or 4, "overhead_s": 2e-4}],
        "client": {"overhead_s": 3e-4, "cores": 4},
        "clients": {"number": clients},
        "window_s": 1.0,
        "warmup_s": 0.2,
        "repeats": 1,
    }
    ((settings, spec),) = unfold(tree, "test")
    record = simulate(spec, settings)
    return structs.replace(
        record,
        settings={"clients": clients},
        details={"batch": float(batch), "delay_us": delay_us} | ({"own_cores": own_cores} if own_cores else {}),
        machine=structs.replace(record.machine, cores=4 if own_cores else 8),
    )


@pytest.mark.parametrize(("batch", "delay_us"), [(0, 0), (16, 0), (16, 500)])
def test_figures_are_found_again_from_the_first_and_the_last_point(batch: int, delay_us: float) -> None:
    records = [as_measured(clients, batch, delay_us) for clients in (1, 4, 16)]
    found = calibrate([records[0], records[2]])
    assert found.service[1] == pytest.approx(4e-3, rel=0.02)
    if batch:
        rows = max(found.service)
        assert found.service[rows] == pytest.approx(3e-3 + 1e-3 * rows, rel=0.05)
    assert found.wake_s == pytest.approx(0, abs=1e-5)
    assert found.cores == 8
    assert found.client_s == pytest.approx(3e-4, rel=0.02)
    assert found.front_s == pytest.approx(2e-4, rel=0.1)
    assert found.rest_s == pytest.approx(0, abs=5e-5)
    assert found.handover_s == pytest.approx(0, abs=1e-4)
    points = [
        simulate(structs.replace(spec, window_s=2.0, warmup_s=0.5, repeats=1), settings)
        for settings, spec in like(records, {})
    ]
    compared = beside_measured(points, records)
    assert len(compared) == 6
    assert all(abs(each.deviation) < 0.05 for each in compared)


def test_a_deployment_that_was_not_measured_stands_beside_nothing() -> None:
    records = [as_measured(clients, 0) for clients in (1, 4)]
    for over, compared in (({"clients": (1, 4)}, 4), ({"clients": (1, 4), "servers.network.round_trip_ms": (10,)}, 0)):
        points = [simulate(structs.replace(spec, repeats=1), settings) for settings, spec in like(records, over)]
        assert len(beside_measured(points, records, over)) == compared


SHORT = {"execution_s": 3e-5, "row_s": 1e-6}


def short_as_measured(
    clients: int, batch: int, cores: float = 4, client_s: float = 4e-5, delay_us: float = 0.0
) -> Record:
    """Do the same with a model that the server's event loop executes."""
    model = {"service": SHORT, "max_rows": batch, "threads": 1, "handover_s": 2e-5, "turn_s": 3e-5}
    model["delay_us"] = delay_us
    server = {"with_clients": True, "overhead_s": 1e-4, "wake_s": 5e-5, "network": {"round_trip_ms": 0.05}}
    tree = {"models": {"m": model}, "servers": [server], "client": {"overhead_s": client_s, "cores": cores}}
    tree |= {"target": "m", "clients": {"number": clients}, "window_s": 0.1, "warmup_s": 0.02, "repeats": 1}
    ((settings, spec),) = unfold(tree, "test")
    spec = structs.replace(spec, models={"m": structs.replace(spec.models["m"], short_s=3e-4)})
    record = simulate(spec, settings)
    window = record.windows[0]
    assert window.server is not None
    asleep = 1 if clients == 1 else 0
    ends = window.server.batch_rows > 1 or delay_us  # nearly all at the end of a turn, or none
    besides_s = 5e-5 if ends else 2e-5
    executed_s = sum(each.number * (each.mean_s + besides_s) for each in window.server.sizes)
    cpu_s = executed_s + window.server.requests * (1e-4 + asleep * (5e-5 + 1e-6 * delay_us))
    return structs.replace(
        with_server(record, cpu_s=cpu_s),
        settings={"clients": clients, "batch": batch, "delay_us": delay_us},
        machine=structs.replace(record.machine, cores=4),
        versions={"server": "sonic 0.1", "platform": "onnxruntime_onnx"},
    )


@pytest.mark.parametrize(("batch", "delay_us"), [(0, 0), (64, 0), (64, 100)])
def test_figures_of_what_the_event_loop_executes_are_found_again(batch: int, delay_us: float) -> None:
    records = [short_as_measured(clients, batch, delay_us=delay_us) for clients in (1, 2, 8, 16, 32)]
    found = calibrate(records)
    assert found.short_s == 3e-4
    assert found.service[1] == pytest.approx(3.1e-5, rel=0.02)
    # Without batches nothing tells what is besides each execution from what is besides each request.
    assert found.handover_s + found.turn_s == pytest.approx(5e-5 if batch else 0, rel=0.1)
    if not delay_us:  # with it every execution is at the end of a turn, which is part of the delay
        assert found.turn_s == pytest.approx(3e-5 if batch else 0, rel=0.2)
        assert found.rest_s == pytest.approx(5e-5, rel=0.1)
    assert found.front_s == pytest.approx(1e-4 if batch else 1.2e-4, rel=0.03)
    assert found.front_wake_s == pytest.approx(5e-5, rel=0.1)
    assert found.client_s == pytest.approx(4e-5)
    assert found.cores == 4
    points = [
        simulate(structs.replace(spec, window_s=0.1, warmup_s=0.02, repeats=1), settings)
        for settings, spec in like(records, {})
    ]
    assert max(abs(each.deviation) for each in beside_measured(points, records)) < 0.05


@pytest.mark.parametrize("cores", [1.0, 1.5])
def test_what_an_event_loop_and_its_clients_share_is_found_again(cores: float) -> None:
    records = [short_as_measured(clients, 0, cores, client_s=1e-4) for clients in (1, 16)]
    server = records[-1].windows[0].server
    assert server is not None
    exact = with_server(records[-1], cpu_s=server.requests * 1.51e-4, sizes=())  # without what waiting made longer
    assert calibrate([records[0], exact]).cores == pytest.approx(cores, rel=0.03)


@pytest.mark.parametrize(
    "other",
    [
        {"versions": {"server": "triton 2.50", "platform": "onnxruntime_onnx"}},
        {"versions": {"server": "sonic 0.1", "platform": "pytorch_libtorch"}},
        {"settings": {"clients": 1, "batch": 64, "delay_us": 600}},
    ],
)
def test_other_servers_and_models_have_threads_of_their_own(other: dict[str, Any]) -> None:
    found = calibrate([structs.replace(short_as_measured(1, 0), **other)])
    assert found.short_s == found.front_wake_s == 0
    assert found.tree("m")["models"]["m"]["short_s"] == 0


def with_server(record: Record, **changes: Any) -> Record:
    window = record.windows[0]
    assert window.server is not None
    return structs.replace(record, windows=(structs.replace(window, server=structs.replace(window.server, **changes)),))


def test_executions_are_taken_by_their_size_and_more_rows_never_take_less() -> None:
    alone, *_, many = [as_measured(clients, 16) for clients in (1, 4, 16)]
    sizes = [Executions(rows=rows, number=n, mean_s=s) for rows, n, s in ((1, 10, 4e-3), (2, 30, 8e-3), (3, 10, 6e-3))]
    found = calibrate([with_server(alone, infer_s=5e-3), with_server(many, sizes=tuple(sizes))])
    assert found.service == pytest.approx({1: 4e-3, 2: 7.5e-3, 3: 7.5e-3})
    assert found.wake_s == pytest.approx(1e-3)


@pytest.mark.parametrize(("batch", "clients"), [(0, (1, 2, 4, 16)), (16, (1, 2, 4))])
def test_what_comes_in_disturbs_executions_of_a_server_with_one_core(batch: int, clients: tuple[int, ...]) -> None:
    records = [as_measured(number, batch, own_cores=1) for number in clients]
    found = calibrate(records)
    assert (found.own_cores, found.cores) == (1, 4)
    # Alone it takes 4 ms, and more by what the front does for another meanwhile.
    assert found.service[1] == pytest.approx(4.2e-3, rel=0.01)
    assert found.wake_s == pytest.approx(-2e-4, rel=0.05)
    (server,) = found.tree("m")["servers"]
    assert server["cores"] == 1
    assert "with_clients" not in server
    points = [
        simulate(structs.replace(spec, window_s=2.0, warmup_s=0.5, repeats=1), s) for s, spec in like(records, {})
    ]
    compared = beside_measured(points, records)
    assert len(compared) == 2 * len(clients)
    assert max(abs(each.deviation) for each in compared) < 0.05


def test_where_more_wants_to_run_than_there_are_cores_what_is_used_is_all_there_is() -> None:
    def two_cores(record: Record, used: float) -> Record:
        window = record.windows[0]
        assert window.server is not None
        on_two = structs.replace(record, machine=structs.replace(record.machine, cores=2))
        on_two = structs.replace(on_two, settings=record.settings | {"instances": 2})
        return with_server(on_two, cpu_s=used * window.duration_s - window.client_cpu_s)

    few, many = as_measured(1, 0), as_measured(64, 0)
    found = calibrate([two_cores(few, 0.9), two_cores(many, 1.6)])
    assert found.cores == pytest.approx(1.6, rel=0.01)
    assert found.service == pytest.approx({1: 4e-3}, rel=0.01)
    assert found.wake_s == found.handover_s == 0


def test_what_lacks_the_servers_side_does_not_do() -> None:
    record = as_measured(1, 0)
    window = structs.replace(record.windows[0], server=None)
    with pytest.raises(DataError, match="record of m with 1 clients lacks the server's statistics"):
        calibrate([structs.replace(record, windows=(window,))])
    with pytest.raises(DataError, match="record of m with 1 clients is failed"):
        calibrate([structs.replace(record, status="failed")])
    with pytest.raises(DataError, match="a record at least, given none"):
        calibrate([])


def test_the_pause_of_clients_is_simulated_too() -> None:
    quiet = structs.replace(as_measured(4, 0), settings={"clients": 4, "think_s": 0.5})
    ((_, spec),) = like([quiet], {})
    assert spec.clients is not None
    assert (spec.clients.think_s, spec.clients.constant) == (0.5, True)


def test_other_axes_leave_the_clients_as_they_were_measured() -> None:
    records = [as_measured(clients, 0) for clients in (1, 4)]
    far = like(records, {"servers.network.round_trip_ms": (10, 20)})
    assert [spec.clients.number for _, spec in far if spec.clients is not None] == [1, 1, 4, 4]
    ((settings, _),) = like(records, {"clients.number": (2,)})
    assert settings == {"clients.number": 2}


def test_what_is_of_no_clients_does_not_do() -> None:
    at_a_rate = structs.replace(as_measured(4, 0), settings={"rate": 50.0})
    of_jobs = structs.replace(as_measured(4, 0), latencies=None)
    for record in (at_a_rate, of_jobs):
        with pytest.raises(DataError, match="a record of m is of no clients that call a model"):
            calibrate([record])
