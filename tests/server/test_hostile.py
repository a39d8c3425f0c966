"""A server under what no well-meaning client sends: no error of its own, and good requests go as well as before."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from typing import TYPE_CHECKING

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.judge import MAX_MESSAGE_BYTES, MODELS, REGION, Judge, write_models
from fuzz.wires import http2_seeds
from sonic.server.access.guard import Guard
from sonic.server.access.tokens import Tokens
from sonic.server.app import serve
from sonic.testing import hostile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sonic.server.app import Server

KEY = {"kty": "oct", "k": base64.urlsafe_b64encode(bytes(32)).decode(), "alg": "HS256", "kid": "k"}
DOCUMENTS = (
    "models/numbers/infer",
    "repository/index",
    "models/numbers/trace/setting",
    "systemsharedmemory/region/q/register",
    "logging",
    "trace/setting",
    "repository/models/numbers/load",
    "repository/models/numbers/unload",
)
some = settings(max_examples=40, suppress_health_check=list(HealthCheck))


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
@given(st.lists(hostile.infer_calls(MODELS, (REGION,)), max_size=5))
def test_grpc_streams(judge: Judge, calls: list[hostile.Call]) -> None:
    judge.stream([call.request for call in calls])


@some
@given(st.sampled_from([seed[1:] for seed in http2_seeds()]).flatmap(hostile.damaged))
def test_http2(judge: Judge, server: Server, data: bytes) -> None:
    judge.raw(data, server.grpc_port)


def test_a_bomb_is_not_unpacked(judge: Judge, server: Server) -> None:
    packed = gzip.compress(bytes(64 * MAX_MESSAGE_BYTES))
    assert len(packed) < MAX_MESSAGE_BYTES
    for coding, body in (("gzip", packed), ("deflate", zlib.compress(bytes(64 * MAX_MESSAGE_BYTES)))):
        assert judge.exchange(hostile.Exchange("POST", "/v2/logging", {"Content-Encoding": coding}, body)) == 400
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}", compression=grpc.Compression.Gzip) as channel:
        for method in ("ModelInfer", "ModelReady"):
            call = channel.unary_unary(f"/inference.GRPCInferenceService/{method}")
            with pytest.raises(grpc.RpcError) as caught:
                call(bytes(64 * MAX_MESSAGE_BYTES), timeout=30)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"ready": ' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"parameters": ' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"log_info": ' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"trace_rate": ' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"key": "a", "byte_size": ' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"log_verbose_level": 1' + b"0" * 4000 + b"}",
        b'{"key": "\\ud800", "byte_size": 1, "x": NaN}',
        b"NaN",
    ],
)
def test_documents_that_are_none(judge: Judge, body: bytes) -> None:
    for path in DOCUMENTS:
        status = judge.exchange(hostile.Exchange("POST", f"/v2/{path}", {}, body))
        assert status in (200, 400)  # what nobody asks for is not looked at
    judge.good()


def test_tokens_that_are_none(tmp_path: Path) -> None:
    write_models(tmp_path / "models")
    (tmp_path / "keys").write_text(json.dumps({"keys": [KEY]}))
    nested = base64.urlsafe_b64encode(b"[" * 20_000).decode()
    texts = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=20)
    parts = st.lists(texts.map(lambda text: base64.urlsafe_b64encode(text.encode()).decode()), min_size=3, max_size=3)
    tokens = texts | parts.map(".".join) | st.just(f"{nested}.e30.e30")
    guard = Guard(Tokens(jwks=tmp_path / "keys"))
    with (
        serve(tmp_path / "models", cores=1, guard=guard) as server,
        Judge(server.http_port, server.grpc_port, good_every=0) as judge,
    ):

        @some
        @given(st.sampled_from(("Bearer ", "bearer\t", "Basic ", "")), tokens)
        def refused(scheme: str, token: str) -> None:
            headers = {"Authorization": f"{scheme}{token}"}
            status = judge.exchange(hostile.Exchange("GET", "/v2", headers))
            assert status in (400, 401)  # some are no header at all

        refused()
