"""What the measurements come to: ratios, most within one run, each beside its goal."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.common import Figure

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from benchmarks.server.cases import Case
    from benchmarks.server.measure import Point, Sample

PURE, COMPILED = "sonic", "sonic-compiled"
OURS = (PURE, COMPILED)
NETWORK = ("grpc", "http")
_FLOOR_GOALS = {"dense16000": 0.85, "particlenet": None, "resnet50": None, "identity-10MB": None}
_TWO_CORES_GOAL = 1.8
_SIZE_GOAL = 0.9
_SMALL_GOALS = {1: 0.9, 16: 0.5, 64: 0.5}
_LARGE_GOAL = 1.0
_GRPC_GOAL = 0.8
_GRPC_FROM_BYTES = 100_000
_YARDSTICK = "uvicorn"
_TRITON = "triton"


@dataclass(frozen=True)
class Reference:
    """Published figures.

    Parameters
    ----------
    measured_on : str
    in_process : mapping of str to float
        Calls a second of onnxruntime alone, by case.
    per_s : mapping of (str, str, int) to float
        Requests a second, by case, server with its protocol, and number of clients.
    """

    measured_on: str
    in_process: Mapping[str, float]
    per_s: Mapping[tuple[str, str, int], float]

    @classmethod
    def read(cls, path: Path | None = None) -> Reference:
        """Read them from a file; by default from the one that stands beside this one."""
        path = path or Path(__file__).with_name("reference.toml")
        document = tomllib.loads(path.read_text())
        cases = {name: rows for name, rows in document.items() if isinstance(rows, dict)}
        per_s = {
            (case, server, int(clients)): float(value)
            for case, rows in cases.items()
            for server, row in rows.items()
            if isinstance(row, dict)
            for clients, value in row.items()
        }
        floors = {case: float(rows["in_process"]) for case, rows in cases.items()}
        return cls(document["measured_on"], floors, per_s)


def within_run(
    points: Iterable[Point], floors: Mapping[str, Sequence[Sample]], cases: Sequence[Case], *, shares_core: bool
) -> Iterator[Figure]:
    """Yield the ratios that need nothing but this run.

    Parameters
    ----------
    points : iterable of Point
    floors : mapping of str to sequence of Sample
        Of each case.
    cases : sequence of Case
    shares_core : bool
        Whether the load generator has no core of its own beside a server of two; then that figure has no goal.
    """
    held = [point for point in points if point.samples]
    by_server = {server: [point for point in held if point.server == server] for server in OURS}
    mine = {*OURS, *map(two_cores, OURS)}
    for server, ours in by_server.items():
        yield from _of_floor(ours, floors)
        yield from _of_size(ours)
        yield from _of_cores(ours, [p for p in held if p.server == two_cores(server)], shares_core=shares_core)
        yield from _of_peers(ours, [p for p in held if p.server not in mine], cases)
    yield from _of_compiling(by_server[COMPILED], by_server[PURE])


def beside_reference(
    points: Iterable[Point], floors: Mapping[str, Sequence[Sample]], cases: Sequence[Case], reference: Reference
) -> Iterator[Figure]:
    """Yield the ratios to the published figures of Triton: the better of its protocols, then gRPC alone.

    Where the model takes most of the time, what is compared is how much of the speed in process is left, on each
    machine: the reference's may be faster, and so may its network of the same kind. A bare application, if both
    machines had it serve the case, is the better yardstick: a server has its share of a machine's speed, too.
    """
    held = [point for point in points if point.samples]
    bare = [point for point in held if point.server == _YARDSTICK]
    for case, server in product(cases, OURS):
        ours = [point for point in held if point.server == server]
        for clients in case.clients:
            triton = {
                protocol: reference.per_s[case.name, f"triton-{protocol}", clients]
                for protocol in NETWORK
                if (case.name, f"triton-{protocol}", clients) in reference.per_s
            }
            best = _best(ours, case.name, clients, NETWORK)
            if not triton or best is None:
                continue
            speed, what = 1.0, ""
            if case.computes:
                speed = median(sample.per_s for sample in floors[case.name]) / reference.in_process[case.name]
                what = ", each / in process"
            goal = _goal(case, clients)
            name = f"{case.name}, {clients} clients: {_way(best)} / best of Triton{what}"
            yield Figure.of(name, [sample.per_s / max(triton.values()) / speed for sample in best.samples], goal)
            yardstick = _best(bare, case.name, clients, ("http",))
            if yardstick is not None and (known := reference.per_s.get((case.name, f"{_YARDSTICK}-http", clients))):
                name = f"{case.name}, {clients} clients: {_way(best)} / best of Triton, each / {_YARDSTICK}"
                ratios = _ratios(best.samples, yardstick.samples)
                yield Figure.of(name, [ratio * known / max(triton.values()) for ratio in ratios], goal)
            grpc = _best(ours, case.name, clients, ("grpc",))
            if grpc is not None and "grpc" in triton and case.request_bytes >= _GRPC_FROM_BYTES:
                name = f"{case.name}, {clients} clients: {_way(grpc)} / gRPC of Triton{what}"
                yield Figure.of(name, [sample.per_s / triton["grpc"] / speed for sample in grpc.samples], _GRPC_GOAL)


def speed_of_machine(floors: Mapping[str, Sequence[Sample]], reference: Reference) -> Iterator[Figure]:
    """Yield how fast this machine ran each model in process, over the one of the reference."""
    for case, samples in floors.items():
        if case in reference.in_process:
            yield Figure.of(f"{case}, in process", [sample.per_s / reference.in_process[case] for sample in samples])


def _of_floor(ours: Sequence[Point], floors: Mapping[str, Sequence[Sample]]) -> Iterator[Figure]:
    for case, goal in _FLOOR_GOALS.items():
        best = _best(ours, case, None, [p.transport for p in ours if p.transport.endswith("-shm")])
        if best is not None:
            name = f"{case}: {_way(best)}, {best.clients} clients / in process"
            yield Figure.of(name, _ratios(best.samples, floors[case]), goal)
            yield from _by_cpu(name, best.samples, floors[case])


def _of_size(ours: Sequence[Point]) -> Iterator[Figure]:
    by_key = {(point.case, point.transport, point.clients): point for point in ours}
    for (case, transport, clients), small in by_key.items():
        large = by_key.get(("first-10MB", transport, clients))
        if case == "first-1kB" and large is not None and transport.endswith("-shm"):
            name = f"10 MB / 1 kB: {_way(small)}, {clients} clients"
            yield Figure.of(name, _ratios(large.samples, small.samples), _SIZE_GOAL)
            yield from _by_cpu(name, large.samples, small.samples)


def _of_cores(ours: Sequence[Point], on_two: Sequence[Point], *, shares_core: bool) -> Iterator[Figure]:
    for two, one in _alike(on_two, ours):
        name = f"{two.case}, {_way(one)}, {two.clients} clients: two cores / one"
        yield Figure.of(name, _ratios(two.samples, one.samples), None if shares_core else _TWO_CORES_GOAL)


def _of_peers(ours: Sequence[Point], peers: Sequence[Point], cases: Sequence[Case]) -> Iterator[Figure]:
    by_name = {case.name: case for case in cases}
    for server, name, clients in dict.fromkeys((point.server, point.case, point.clients) for point in peers):
        those = [point for point in peers if point.server == server]
        case = by_name[name]
        yield from _of_peer(ours, those, case, clients, NETWORK, _goal(case, clients) if server == _TRITON else None)
        if server == _TRITON and case.request_bytes >= _GRPC_FROM_BYTES:
            yield from _of_peer(ours, those, case, clients, ("grpc",), _GRPC_GOAL)


def _of_peer(
    ours: Sequence[Point], those: Sequence[Point], case: Case, clients: int, ways: Sequence[str], goal: float | None
) -> Iterator[Figure]:
    its, best = _best(those, case.name, clients, ways), _best(ours, case.name, clients, ways)
    if its is not None and best is not None:
        alone = " alone" if len(ways) == 1 else ""
        name = f"{case.name}, {clients} clients: {_way(best)}{alone} / {its.server} {its.transport}"
        yield Figure.of(name, _ratios(best.samples, its.samples), goal)
        yield from _by_cpu(name, best.samples, its.samples)


def _of_compiling(compiled: Sequence[Point], pure: Sequence[Point]) -> Iterator[Figure]:
    for point, same in _alike(compiled, pure):
        name = f"{point.case}, {point.transport}, {point.clients} clients: compiled / not"
        yield Figure.of(name, _ratios(point.samples, same.samples))
        yield from _by_cpu(name, point.samples, same.samples)


def _alike(above: Sequence[Point], below: Sequence[Point]) -> Iterator[tuple[Point, Point]]:
    """Yield the pairs of one case, way and number of clients."""
    by_key = {(point.case, point.transport, point.clients): point for point in below}
    for point in above:
        if (other := by_key.get((point.case, point.transport, point.clients))) is not None:
            yield point, other


def _goal(case: Case, clients: int) -> float | None:
    """Return how many of the requests/s of Triton are wanted."""
    return _SMALL_GOALS.get(clients) if case.size == "small" else _LARGE_GOAL


def _way(point: Point) -> str:
    return point.transport if point.server == PURE else f"{point.server} {point.transport}"


def two_cores(server: str) -> str:
    """Return what a server is called that has two cores."""
    return f"{server} on 2 cores"


def _best(points: Sequence[Point], case: str, clients: int | None, transports: Sequence[str]) -> Point | None:
    fit = [p for p in points if p.case == case and p.transport in transports and clients in (None, p.clients)]
    return max(fit, key=lambda point: point.per_s, default=None)


def _by_cpu(name: str, above: Sequence[Sample], below: Sequence[Sample]) -> Iterator[Figure]:
    """Yield how many requests the one makes of the processor time of one of the other: on a busy machine, too."""
    above_ms, below_ms = (median(sample.cpu_ms for sample in samples) for samples in (above, below))
    if above_ms and below_ms:  # the system counts it in steps
        yield Figure.of(f"{name}, by processor time", [below_ms / above_ms])


def _ratios(above: Sequence[Sample], below: Sequence[Sample]) -> list[float]:
    """Return a ratio for each repeat; of the medians where one of the two has failed in some."""
    if len(above) != len(below):
        return [median(sample.per_s for sample in above) / median(sample.per_s for sample in below)]
    return [a.per_s / b.per_s for a, b in zip(above, below, strict=True)]
