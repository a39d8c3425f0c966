from __future__ import annotations

import pytest

from benchmarks.server import marks
from benchmarks.server.cases import CASES
from benchmarks.server.measure import Point, Sample
from benchmarks.server.wire import TRANSPORTS

FLOORS = {"dense16000": [Sample(1000, 1.0), Sample(1000, 1.0)]}


def _point(per_s: float, *, server="sonic", case="dense16000", transport="grpc", clients=16, cpu_ms=2.0) -> Point:
    return Point(server, case, transport, clients, (Sample(per_s, cpu_ms), Sample(1.1 * per_s, cpu_ms)))


def _within(*points: Point, shares_core: bool = False) -> dict[str, object]:
    return {figure.name: figure for figure in marks.within_run(points, FLOORS, CASES, shares_core=shares_core)}


def test_the_best_way_through_shared_memory_stands_beside_the_model_in_process() -> None:
    found = _within(_point(2000), _point(800, transport="grpc-shm"), _point(900, transport="http-unix-shm"))
    figure = found["dense16000: http-unix-shm, 16 clients / in process"]
    assert (figure.low, figure.high) == pytest.approx((0.9, 0.99))
    assert figure.reached
    by_cpu = found["dense16000: http-unix-shm, 16 clients / in process, by processor time"]
    assert by_cpu.value == pytest.approx(0.5)


def test_large_requests_stand_beside_small_ones_where_both_go_through_shared_memory() -> None:
    found = _within(
        *(
            _point(n, case=case, transport=way)
            for way in ("grpc", "grpc-shm")
            for case, n in (("first-1kB", 100), ("first-10MB", 80))
        )
    )
    assert all(name.startswith("10 MB / 1 kB: grpc-shm, 16 clients") for name in found)
    assert found["10 MB / 1 kB: grpc-shm, 16 clients"].reached is False


@pytest.mark.parametrize(("shares_core", "reached"), [(False, True), (True, None)])
def test_two_cores_have_a_goal_where_the_load_has_a_third(shares_core: bool, reached: bool | None) -> None:
    found = _within(_point(100), _point(190, server=marks.two_cores("sonic")), shares_core=shares_core)
    figure = found["dense16000, grpc, 16 clients: two cores / one"]
    assert figure.value == pytest.approx(1.9)
    assert figure.reached is reached


def test_another_server_is_met_by_the_better_of_each_ones_protocols() -> None:
    found = _within(
        _point(100), _point(300, transport="http"), _point(900, transport="grpc-unix"), _point(200, server="kserve")
    )
    assert found["dense16000, 16 clients: http / kserve grpc"].value == pytest.approx(1.5)
    assert found["dense16000, 16 clients: http / kserve grpc, by processor time"].value == pytest.approx(1)


def test_beside_a_triton_in_the_same_run_the_goals_are_those_for_triton() -> None:
    found = _within(
        _point(100), _point(120, transport="http"), _point(110, server="triton"), _point(90, server="kserve")
    )
    best = found["dense16000, 16 clients: http / triton grpc"]
    assert (best.goal, best.reached) == (1.0, True)
    grpc = found["dense16000, 16 clients: grpc alone / triton grpc"]
    assert grpc.value == pytest.approx(100 / 110)
    assert (grpc.goal, grpc.reached) == (0.8, True)
    assert found["dense16000, 16 clients: http / kserve grpc"].goal is None


def test_compiled_modules_have_figures_of_their_own() -> None:
    compiled = _point(150, server="sonic-compiled", cpu_ms=1.6)
    found = _within(_point(100), compiled, _point(120, server="triton"))
    assert found["dense16000, grpc, 16 clients: compiled / not"].value == pytest.approx(1.5)
    assert found["dense16000, grpc, 16 clients: compiled / not, by processor time"].value == pytest.approx(1.25)
    assert found["dense16000, 16 clients: sonic-compiled grpc / triton grpc"].reached
    assert found["dense16000, 16 clients: grpc / triton grpc"].reached is False


def test_points_that_failed_make_no_figure() -> None:
    assert _within(_point(100), Point("kserve", "dense16000", "grpc", 16, (), "no answer")) == {}


def test_repeats_that_failed_leave_the_ratio_of_medians() -> None:
    lame = Point("kserve", "dense16000", "grpc", 16, (Sample(50, 1),), "once")
    assert _within(_point(100), lame)["dense16000, 16 clients: grpc / kserve grpc"].value == pytest.approx(2.1)


REFERENCE = marks.Reference(
    "a machine",
    {"dense16": 100_000, "dense16000": 2000},
    {
        ("dense16", "triton-grpc", 16): 1000,
        ("dense16", "triton-http", 16): 2000,
        ("dense16000", "triton-grpc", 16): 1000,
        ("dense16000", "triton-http", 16): 500,
        ("dense16000", "uvicorn-http", 16): 800,
    },
)


def test_small_requests_have_to_reach_half_of_the_reference_large_ones_all_of_it() -> None:
    points = [_point(1000, case="dense16"), _point(425, transport="http"), _point(375)]
    found = {figure.name: figure for figure in marks.beside_reference(points, FLOORS, CASES, REFERENCE)}
    small = found["dense16, 16 clients: grpc / best of Triton"]
    assert (small.low, small.goal, small.reached) == (0.5, 0.5, True)
    # In process, this machine is half as fast.
    large = found["dense16000, 16 clients: http / best of Triton, each / in process"]
    assert (large.low, large.goal, large.reached) == (0.85, 1, False)
    grpc = found["dense16000, 16 clients: grpc / gRPC of Triton, each / in process"]
    assert (grpc.low, grpc.goal) == (0.75, 0.8)
    assert len(found) == 3


def test_a_bare_application_that_both_machines_know_tells_how_fast_each_is_as_a_server() -> None:
    points = [_point(425, transport="http"), _point(340, server="uvicorn", transport="http")]
    found = {figure.name: figure for figure in marks.beside_reference(points, FLOORS, CASES, REFERENCE)}
    figure = found["dense16000, 16 clients: http / best of Triton, each / uvicorn"]
    assert (figure.low, figure.high, figure.goal) == (1.0, 1.0, 1)  # 1.25 of it here, and Triton there
    points = [_point(800, case="dense16"), _point(340, case="dense16", server="uvicorn", transport="http")]
    assert len(list(marks.beside_reference(points, FLOORS, CASES, REFERENCE))) == 1  # unknown there


def test_the_speed_of_the_machine_is_shown_where_the_reference_knows_the_case() -> None:
    (figure,) = marks.speed_of_machine({**FLOORS, "resnet50": [Sample(20, 50)]}, REFERENCE)
    assert (figure.name, figure.value) == ("dense16000, in process", 0.5)


def test_the_published_figures_are_of_cases_that_are_measured() -> None:
    reference = marks.Reference.read()
    clients = {case.name: case.clients for case in CASES}
    assert reference.measured_on.startswith("another machine")
    assert reference.per_s["identity-10MB", "triton-grpc", 4] == 89
    assert set(reference.in_process) <= set(clients)
    for case, server, number in reference.per_s:
        assert number in clients[case]
        assert server.rpartition("-")[2] in TRANSPORTS
