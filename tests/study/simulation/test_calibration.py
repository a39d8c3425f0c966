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


def as_measured(clients: int, batch: int) -> Record:
    """Simulate a server whose figures are known, and give it out as measured, with processor times."""
    tree = {
        "target": "m",
        "models": {"m": {"service": TRUE, "max_rows": batch, "threads": 1}},
        "servers": [{"cores": 4, "overhead_s": 2e-4}],
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
        settings={"clients": clients, "batch": batch},
        machine=structs.replace(record.machine, cores=8),
    )


@pytest.mark.parametrize("batch", [0, 16])
def test_figures_are_found_again_from_the_first_and_the_last_point(batch: int) -> None:
    records = [as_measured(clients, batch) for clients in (1, 4, 16)]
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
