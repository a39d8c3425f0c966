from __future__ import annotations

import os
import signal
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import pytest

import sonic
from sonic.client.url import connect, parse_server
from sonic.errors import Unavailable, Unsupported
from sonic.study.conditions import Conditions
from sonic.study.conditions.netem import namespace
from sonic.study.load.server import ServerWatch
from sonic.study.scan.deployment import Elsewhere, OwnServer
from sonic.study.scan.spec import Point

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFIG = """
backend: "identity"
max_batch_size: 4
input { name: "x" data_type: TYPE_FP32 dims: [ 2 ] }
output { name: "y" data_type: TYPE_FP32 dims: [ 2 ] }
"""


def _repository(folder: Path) -> Path:
    (folder / "models" / "m" / "1").mkdir(parents=True)
    (folder / "models" / "m" / "config.pbtxt").write_text(CONFIG)
    return folder


def _point(**settings: object) -> Point:
    return Point("m", {"models": "models", **settings})  # type: ignore[dict-item]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _repository(tmp_path_factory.mktemp("scan"))


@pytest.fixture(scope="module")
def server(base: Path) -> Iterator[OwnServer]:
    with OwnServer(_point(copies=2), base) as server:
        yield server


def _asked(url: str, model: str = "m") -> list[float]:
    place, mark, options = url.partition("?")
    with sonic.Model(f"{place}/{model}{mark}{options}") as called:
        return list(called(x=np.array([[1, 2]], np.float32))["y"][0])


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"protocol": "http"},
        {"protocol": "grpc+unix"},
        {"protocol": "http+unix"},
        {"protocol": "local"},
        {"round_trip_ms": 2.0},
        {"protocol": "http", "bandwidth_mbps": 100.0, "compression": "gzip"},
        {"compression": "deflate"},
    ],
)
def test_a_server_is_reached_in_every_way(server: OwnServer, settings: dict[str, object]) -> None:
    with server.place(_point(**settings)) as place:
        assert place.names == ("m", "m-2")
        assert [_asked(place.url, name) for name in place.names] == [[1, 2], [1, 2]]
        assert place.url.startswith(str(settings.get("protocol", "grpc")))
        assert ("compression=" in place.url) == ("compression" in settings)
    assert server.obituary() == ""


def test_the_network_ends_with_the_point(server: OwnServer) -> None:
    with server.place(_point(round_trip_ms=2.0)) as place, server.place(_point()) as near:
        assert place.url != near.url
        assert (place.direct, near.direct) == (near.url, "")
        assert place.metrics == near.metrics
    with pytest.raises(Unavailable):
        _asked(place.url)


def test_a_server_of_somebody_s_gets_a_network_too(server: OwnServer) -> None:
    with server.place(_point()) as near:
        elsewhere = Elsewhere(near.url, near.metrics)
        with elsewhere, elsewhere.place(_point(round_trip_ms=2.0)) as far, elsewhere.place(_point()) as same:
            assert same.url == near.url
            assert far.url != near.url
            assert (same.direct, far.direct) == ("", near.url)
            assert far.metrics == near.metrics
            assert _asked(far.url) == [1, 2]
            address = parse_server(far.url)
            with closing(connect(address)) as transport, ServerWatch(transport, address, ["m"], far.metrics) as watch:
                sample = watch.sample()
                assert sample is not None
                assert sample.cpu_s is not None
        with Elsewhere("grpc://gpu01:8001").place(_point(round_trip_ms=2.0)) as far:
            assert far.direct == "grpc://gpu01:8001"  # next to which metrics are looked for
        assert elsewhere.obituary() == ""


def _netem() -> bool:
    try:
        with namespace(Conditions()):
            return True
    except Unsupported:
        return False


def test_a_server_in_a_namespace_that_is_killed_has_an_obituary(base: Path) -> None:
    """In the host's own where no others can be made."""
    point = _point(conditions="netem") if _netem() else _point()
    with OwnServer(point, base) as server, server.place(point) as place:
        assert ("//10.203." in place.url) == ("//10.203." in place.metrics) == ("conditions" in point.settings)
        assert _asked(place.url) == [1, 2]
        assert server._server is not None
        os.kill(server._server.pid, signal.SIGKILL)
        server._server.process.wait(5)
        assert server.obituary().startswith("sonic serve was ended by SIGKILL")


def test_for_what_runs_in_its_clients_no_server_is_started(base: Path) -> None:
    with OwnServer(_point(protocol="local"), base) as server, server.place(_point(protocol="local")) as place:
        assert server._server is None
        assert _asked(place.url) == [1, 2]
