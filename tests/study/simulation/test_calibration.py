from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from sonic.errors import DataError
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
    assert found.execution_s + found.row_s == pytest.approx(4e-3, rel=0.02)
    if batch:
        assert found.row_s == pytest.approx(1e-3, rel=0.05)
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


def test_what_lacks_the_servers_side_does_not_do() -> None:
    record = as_measured(1, 0)
    window = structs.replace(record.windows[0], server=None)
    with pytest.raises(DataError, match="record of m with 1 clients lacks the server's statistics"):
        calibrate([structs.replace(record, windows=(window,))])
    with pytest.raises(DataError, match="record of m with 1 clients is failed"):
        calibrate([structs.replace(record, status="failed")])
    with pytest.raises(DataError, match="a record at least, given none"):
        calibrate([])
