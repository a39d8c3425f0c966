"""A server under what no well-meaning client sends: no error of its own, and good requests go as well as before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.judge import MAX_MESSAGE_BYTES, MODELS, REGION, Judge, write_models
from fuzz.wires import http2_seeds
from sonic.server.app import serve
from sonic.testing import hostile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sonic.server.app import Server

some = settings(max_examples=60, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("hostile")
    write_models(folder / "models")
    with serve(
        folder / "models",
        explicit=True,
        models=["*"],
        cores=1,
        max_message_bytes=MAX_MESSAGE_BYTES,
        trace_file=folder / "traces",
    ) as started:
        yield started


@pytest.fixture(scope="module")
def judge(server: Server) -> Iterator[Judge]:
    with Judge(server.http_port, server.grpc_port) as made:
        made.good()
        yield made
        made.good()


@some
@given(hostile.exchanges(MODELS, (REGION,)))
def test_http(judge: Judge, exchange: hostile.Exchange) -> None:
    judge.exchange(exchange)


@some
@given(hostile.calls(MODELS, (REGION,)))
def test_grpc(judge: Judge, call: hostile.Call) -> None:
    judge.call(call)


@some
@given(st.sampled_from([seed[1:] for seed in http2_seeds()]).flatmap(hostile.damaged))
def test_http2(judge: Judge, server: Server, data: bytes) -> None:
    judge.raw(data, server.grpc_port)
