"""Sockets, TLS, tokens, rates and sizes over both fronts, with our own client and the unmodified tritonclient."""

from __future__ import annotations

import gzip
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import grpc
import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import trustme
from tritonclient.utils import InferenceServerException

from sonic.client.model import Model
from sonic.errors import ConfigError, InferenceError, InvalidRequest, Unauthenticated, Unavailable
from sonic.protocol.proto import grpc_service_pb2 as pb
from sonic.server.access.guard import PUBLIC_PATHS, QUESTION_BYTES, Guard
from sonic.server.access.ratelimit import RateLimit
from sonic.server.access.tls import Tls
from sonic.server.access.tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

X = np.arange(8, dtype=np.float32).reshape(2, 4)


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose path is short enough for a socket's."""
    with tempfile.TemporaryDirectory(prefix="sonic-") as folder:
        yield Path(folder)


def ask(url: str) -> np.ndarray:
    model = Model(url, timeout_s=20)
    try:
        return model(x=X)["y"]
    finally:
        model.close()


# ---- sockets --------------------------------------------------------------------------------------------------------


def test_unix_sockets(folder: Any, serve: Any, short: Path) -> None:
    folder.onnx("a")
    server = serve(folder, grpc_socket=short / "g.sock", http_socket=short / "h.sock")
    expected = ask(f"{server.grpc_url}/a")
    np.testing.assert_array_equal(ask(f"grpc+unix:{short}/g.sock/a"), expected)
    np.testing.assert_array_equal(ask(f"http+unix:{short}/h.sock/a/1"), expected)
    client = triton_grpc.InferenceServerClient(f"unix:{short}/g.sock")
    assert client.is_server_ready()
    client.close()
    with pytest.raises(ConfigError, match=r"--grpc-socket .*g\.sock is in use by another server"):
        serve(folder, grpc_socket=short / "g.sock")
    server.close()
    assert list(short.iterdir()) == []


def test_paths_that_are_no_free_socket(folder: Any, serve: Any, short: Path) -> None:
    folder.onnx("a")
    (short / "file.sock").write_text("precious")
    for option in ("grpc_socket", "http_socket"):
        for path, text in (
            (short / "file.sock", "is there and is no socket"),
            (short / "socket", r"ends in \.sock"),
            (short / "absent" / "a.sock", "there is no folder"),
            (short / f"{'x' * 200}.sock", "has at most 103 bytes"),
        ):
            with pytest.raises(ConfigError, match=text):
                serve(folder, **{option: path})
    assert (short / "file.sock").read_text() == "precious"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(short / "dead.sock"))
    server = serve(folder, grpc_socket=short / "dead.sock", grpc_port=None, http_port=None)
    assert ask(f"grpc+unix:{short}/dead.sock/a").shape == (2, 2)
    assert server.grpc_port == 0


# ---- TLS ------------------------------------------------------------------------------------------------------------


class Certificates:
    def __init__(self, folder: Path) -> None:
        self.ca, self.key, self.cert = folder / "ca.pem", folder / "key.pem", folder / "cert.pem"
        self.client_key, self.client_cert = folder / "client-key.pem", folder / "client-cert.pem"
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.ca)
        for made, key, cert in (
            (authority.issue_cert("localhost", "127.0.0.1"), self.key, self.cert),
            (authority.issue_cert("ana@site.org"), self.client_key, self.client_cert),
        ):
            made.private_key_pem.write_to_path(key)
            cert.write_bytes(b"".join(part.bytes() for part in made.cert_chain_pems))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.mark.parametrize("mutual", [False, True])
def test_tls(mutual: bool, folder: Any, serve: Any, certificates: Certificates) -> None:
    folder.onnx("a")
    client_ca = certificates.ca if mutual else None
    server = serve(folder, tls=Tls(certificates.cert, certificates.key, client_ca))
    assert (server.grpc_url[:8], server.http_url[:8]) == ("grpcs://", "https://")
    own = f"&cert={certificates.client_cert}&key={certificates.client_key}" if mutual else ""
    for url in (server.grpc_url, server.http_url):
        assert ask(f"{url}/a?ca={certificates.ca}{own}").shape == (2, 2)
        with pytest.raises(InferenceError):  # an authority that the system does not know
            ask(f"{url}/a")
        if mutual:
            with pytest.raises(InferenceError):
                ask(f"{url}/a?ca={certificates.ca}")
        with pytest.raises(InferenceError):
            ask(f"{url.replace('grpcs', 'grpc').replace('https', 'http')}/a")
    extra = {"private_key": str(certificates.client_key), "certificate_chain": str(certificates.client_cert)}
    client = triton_grpc.InferenceServerClient(
        server.grpc_url.removeprefix("grpcs://"),
        ssl=True,
        root_certificates=str(certificates.ca),
        **(extra if mutual else {}),
    )
    assert client.is_server_ready()
    client.close()


def test_an_authority_that_is_not_known_is_one_line(folder: Any, serve: Any, certificates: Certificates) -> None:
    folder.onnx("a")
    server = serve(folder, tls=Tls(certificates.cert, certificates.key))
    environment = {name: value for name, value in os.environ.items() if name != "GRPC_VERBOSITY"}
    asked = [sys.executable, "-m", "sonic", "models", "list", server.grpc_url]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("sonic: grpcs://")


def test_tls_for_grpc_alone(folder: Any, serve: Any, certificates: Certificates) -> None:
    folder.onnx("a")
    server = serve(folder, grpc_tls=Tls(certificates.cert, certificates.key))
    assert (server.grpc_url[:8], server.http_url[:7]) == ("grpcs://", "http://")
    for url in (f"{server.grpc_url}/a?ca={certificates.ca}", f"{server.http_url}/a"):
        assert ask(url).shape == (2, 2)


def test_files_that_make_no_tls(certificates: Certificates, tmp_path: Path) -> None:
    (tmp_path / "junk").write_text("junk")
    for cert, key, ca, text in (
        (tmp_path / "absent", certificates.key, None, "cannot read --tls-cert .*absent: No such file"),
        (certificates.cert, certificates.client_key, None, "TLS with .*: KEY_VALUES_MISMATCH"),
        (tmp_path / "junk", certificates.key, None, "TLS with .*junk"),
        (certificates.cert, certificates.key, tmp_path / "junk", "TLS with .*junk"),
    ):
        with pytest.raises(ConfigError, match=text):
            Tls(cert, key, ca)
    for url, text in (
        (f"grpcs://h/a?ca={tmp_path}/absent", "cannot read ca"),
        (f"https://h/a?ca={tmp_path}/junk", "TLS with"),
        (f"https://h/a?cert={certificates.cert}", "cert and key go together"),
        (f"grpc://h/a?ca={certificates.ca}", "is not encrypted"),
        (f"grpc://h/a?token_file={tmp_path}/absent", "cannot read token_file"),
    ):
        with pytest.raises(ConfigError, match=text):
            Model(url)


# ---- tokens and rates -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_a_token_that_is_replaced_while_a_client_lives(scheme: str, folder: Any, serve: Any, tmp_path: Path) -> None:
    folder.onnx("a")
    (tmp_path / "tokens").write_text("s3cret ana\n")
    (tmp_path / "mine").write_text("s3cret\n")
    server = serve(folder, guard=Guard(Tokens(tmp_path / "tokens")))
    url = server.grpc_url if scheme == "grpc" else server.http_url
    with Model(f"{url}/a?token_file={tmp_path}/mine") as model:
        model(x=X)
        (tmp_path / "tokens").write_text("n3xt ana\n")
        with pytest.raises(Unauthenticated):
            model(x=X)
        for text in ("n3xt\n", "not one token\n"):  # of what makes no sense the last that did stays
            (tmp_path / "new").write_text(text)
            (tmp_path / "new").replace(tmp_path / "mine")
            assert model(x=X)["y"].shape == (2, 2)


def test_a_token_in_an_open_file_is_read_once(folder: Any, serve: Any, tmp_path: Path) -> None:
    folder.onnx("a")
    (tmp_path / "tokens").write_text("s3cret ana\n")
    server = serve(folder, guard=Guard(Tokens(tmp_path / "tokens")))
    with (tmp_path / "mine").open("w+") as mine:
        mine.write("s3cret\n")
        mine.flush()
        model = Model(f"{server.grpc_url}/a?token_file=/dev/fd/{mine.fileno()}")
        mine.write("another\n")  # as if its number were another file's
        mine.flush()
        with model:
            assert model(x=X)["y"].shape == (2, 2)


def test_tokens(folder: Any, serve: Any, tmp_path: Path) -> None:
    folder.onnx("a")
    (tmp_path / "tokens").write_text("s3cret ana\n")
    (tmp_path / "mine").write_text("s3cret\n")
    (tmp_path / "wrong").write_text("guess\n")
    server = serve(folder, guard=Guard(Tokens(tmp_path / "tokens")))
    for url in (server.grpc_url, server.http_url):
        assert ask(f"{url}/a?token_file={tmp_path}/mine").shape == (2, 2)
        for option in ("", f"?token_file={tmp_path}/wrong"):
            with pytest.raises(Unauthenticated, match="token"):
                ask(f"{url}/a{option}")
    for path, status in (("health/live", 200), ("health/ready", 200), ("models/a", 401), ("", 401)):
        answer = httpx.get(f"{server.http_url}/v2/{path}".rstrip("/"))
        assert answer.status_code == status, path
        assert (answer.headers.get("www-authenticate") == "Bearer") is (status == 401)
    assert httpx.get(server.http_url).status_code == 200
    assert httpx.get(server.metrics_url).status_code == 200
    client = triton_grpc.InferenceServerClient(server.grpc_url.partition("//")[2])
    assert client.is_server_live()
    assert client.is_server_ready()
    with pytest.raises(InferenceServerException, match="a token is needed") as caught:
        client.get_model_repository_index()
    assert caught.value.status() == "StatusCode.UNAUTHENTICATED"
    assert client.get_model_repository_index(headers={"authorization": "Bearer s3cret"}).models
    client.close()
    with grpc.insecure_channel(server.grpc_url.partition("//")[2]) as channel:
        call = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")
        with pytest.raises(grpc.RpcError) as refused:
            list(call(iter([b""]), timeout=10))
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_stream_outlives_no_token(folder: Any, serve: Any, tmp_path: Path) -> None:
    folder.onnx("a")
    tokens, fresh = tmp_path / "tokens", tmp_path / "fresh"
    tokens.write_text("s3cret ana\n")
    fresh.write_text("another ben\n")
    server = serve(folder, guard=Guard(Tokens(tokens)))
    requests: SimpleQueue[pb.ModelInferRequest | None] = SimpleQueue()
    with grpc.insecure_channel(server.grpc_url.partition("//")[2]) as channel:
        call = channel.stream_stream(
            "/inference.GRPCInferenceService/ModelStreamInfer",
            pb.ModelInferRequest.SerializeToString,
            pb.ModelStreamInferResponse.FromString,
        )
        answers = call(iter(requests.get, None), timeout=10, metadata=[("authorization", "Bearer s3cret")])
        requests.put(pb.ModelInferRequest(model_name="a"))
        assert "missing required input" in next(answers).error_message
        fresh.replace(tokens)
        requests.put(pb.ModelInferRequest(model_name="a", id="late"))
        late = next(answers)
        assert (late.error_message, late.infer_response.id) == ("the token is not one that the server knows", "late")
        requests.put(None)
        assert list(answers) == []


def test_rates(folder: Any, serve: Any) -> None:
    folder.onnx("a")
    now_s = [0.0]
    server = serve(folder, guard=Guard(limit=RateLimit(2, burst=3), clock=lambda: now_s[0]))
    url = f"{server.http_url}/v2/models/a"
    assert [httpx.get(url).status_code for _ in range(4)] == [200, 200, 200, 429]
    refused = httpx.get(url)
    assert (refused.headers["retry-after"], "more than 2 requests a second" in refused.json()["error"]) == ("1", True)
    assert httpx.get(f"{server.http_url}/v2/health/ready").status_code == 200
    now_s[0] = 10.0
    with grpc.insecure_channel(server.grpc_url.partition("//")[2]) as channel:
        call = channel.stream_stream(
            "/inference.GRPCInferenceService/ModelStreamInfer",
            pb.ModelInferRequest.SerializeToString,
            pb.ModelStreamInferResponse.FromString,
        )
        answers = list(call(iter([pb.ModelInferRequest(model_name="z")] * 5), timeout=10))
    assert ["requests a second" in answer.error_message for answer in answers] == [False] * 3 + [True] * 2
    with pytest.raises(Unavailable, match="more than 2 requests a second"):
        ask(f"{server.grpc_url}/a")


# ---- sizes ----------------------------------------------------------------------------------------------------------


def test_messages_that_are_too_large(folder: Any, serve: Any) -> None:
    folder.identity("i", "FP32")
    server = serve(folder, max_message_bytes=50_000)
    for url in (server.grpc_url, server.http_url):
        model = Model(f"{url}/i", timeout_s=20)
        assert model(in0=np.zeros(10_000, np.float32))["out0"].shape == (10_000,)
        with pytest.raises(InvalidRequest, match=r"larger than max|at most 50000 bytes"):
            model(in0=np.zeros(20_000, np.float32))
        model.close()
    client = triton_grpc.InferenceServerClient(server.grpc_url.partition("//")[2])
    x = triton_grpc.InferInput("in0", [200_000], "FP32")
    x.set_data_from_numpy(np.zeros(200_000, np.float32))
    for algorithm in ("gzip", "deflate"):
        with pytest.raises(InferenceServerException, match=r"larger than max|at most 50000 bytes"):
            client.infer("i", [x], compression_algorithm=algorithm)
    client.close()
    bomb = gzip.compress(bytes(10_000_000))
    assert len(bomb) < 50_000
    answer = httpx.post(f"{server.http_url}/v2/models/i/infer", content=bomb, headers={"Content-Encoding": "gzip"})
    assert (answer.status_code, "at most 50000 bytes" in answer.json()["error"]) == (400, True)
    for wrong in (0, 2**31):
        with pytest.raises(ConfigError, match="--max-message-bytes is from 1"):
            serve(folder, max_message_bytes=wrong)


QUESTIONS = (
    "inference.GRPCInferenceService/ServerLive",
    "inference.GRPCInferenceService/ServerReady",
    "grpc.health.v1.Health/Check",
    "grpc.health.v1.Health/List",
    "grpc.health.v1.Health/Watch",
)


def test_who_has_no_token_cannot_fill_the_memory(folder: Any, serve: Any, tmp_path: Path) -> None:
    folder.onnx("a")
    (tmp_path / "tokens").write_text("s3cret ana\n")
    server = serve(folder, guard=Guard(Tokens(tmp_path / "tokens")))
    small, large = bytes(QUESTION_BYTES), bytes(QUESTION_BYTES + 1)
    text = f"at most {QUESTION_BYTES} bytes"
    for path in PUBLIC_PATHS:
        for headers, pack in (({}, bytes), ({"Content-Encoding": "gzip"}, gzip.compress)):
            status = {}
            for body in (small, large):
                answer = httpx.request("GET", f"{server.http_url}{path}", content=pack(body), headers=headers)
                status[len(body)] = answer.status_code, text in answer.text
            assert [*status.values()] == [(200, False), (400, True)]
    with grpc.insecure_channel(server.grpc_url.partition("//")[2]) as channel:
        for method in QUESTIONS:
            for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
                with pytest.raises(grpc.RpcError, match=text):
                    next(channel.unary_stream(f"/{method}")(large, timeout=10, compression=compression))
