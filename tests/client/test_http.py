from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from sonic.client.http import HttpTransport
from sonic.errors import ConfigError, DeadlineExceeded, InvalidRequest, ModelFailed, RateLimited, Unavailable
from sonic.testing.conformance import WAIT_S, RemoteTransportConformance, RudePeer, echo_request, error_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sonic.client.transport import Transport
    from sonic.errors import InferenceError
    from sonic.server.app import Server


class TestHttpTransport(RemoteTransportConformance):
    @pytest.fixture
    def transport(self, server: Server) -> Iterator[Transport]:
        transport = HttpTransport(server.http_url.removeprefix("http://"))
        yield transport
        transport.close()

    @pytest.fixture
    def connect(self) -> Callable[[str], Transport]:
        return HttpTransport

    def test_url(self, server: Server, transport: Transport) -> None:
        assert transport.url == server.http_url


class Answering:
    """A server that gives every request one answer, and keeps the requests."""

    def __init__(
        self,
        status: int,
        body: bytes,
        paths: dict[str, bytes] | None = None,
        *,
        encoding: str | None = None,
        retry_after: str | None = None,
    ) -> None:
        self.seen: list[tuple[str, str, bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.do_POST()

            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.seen.append((self.command, self.path, content))
                known = (paths or {}).get(self.path)
                answer = body if known is None else known
                self.send_response(status if known is None else 200)
                self.send_header("Content-Length", str(len(answer)))
                if encoding is not None:
                    self.send_header("Content-Encoding", encoding)
                if retry_after is not None:
                    self.send_header("Retry-After", retry_after)
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        self.transport = HttpTransport(f"127.0.0.1:{self._server.server_address[1]}")

    def __enter__(self) -> Answering:
        return self

    def __exit__(self, *_: object) -> None:
        self.transport.close()
        self._server.shutdown()
        self._server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "kind", "text"),
    [
        (400, b'{"error": "no input x"}', InvalidRequest, "no input x"),
        (500, b'{"error": "it broke"}', ModelFailed, "it broke"),
        (503, b"<html>busy\n</html>", Unavailable, "<html>busy </html>"),
        (502, b"", Unavailable, "HTTP status 502 without a message"),
        (429, b'{"error": "slow down"}', RateLimited, "slow down"),
        (504, b'{"error": "late"}', DeadlineExceeded, "late"),
    ],
)
def test_statuses_become_errors_of_the_tree(status: int, body: bytes, kind: type[InferenceError], text: str) -> None:
    with Answering(status, body) as server:
        error = error_of(server.transport.submit(echo_request()))
        assert type(error) is kind
        assert text in str(error)
        assert (server.transport.url in str(error)) == kind.retryable
        with pytest.raises(kind):
            server.transport.statistics("echo")
        assert not server.transport.ready()


@pytest.mark.parametrize(
    ("said", "wait_s"), [("7", 7.0), (None, 0.0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("9" * 400, 0.0)]
)
def test_how_long_the_server_wants_to_be_left_alone(said: str | None, wait_s: float) -> None:
    with Answering(429, b'{"error": "slow down"}', retry_after=said) as server:
        error = error_of(server.transport.submit(echo_request()))
        assert isinstance(error, RateLimited)
        assert error.wait_s == wait_s
        assert str(error) == f"{server.transport.url}: slow down"


def test_an_unreadable_answer_is_the_servers_fault() -> None:
    with Answering(200, b"nonsense") as server:
        assert isinstance(error_of(server.transport.submit(echo_request())), ModelFailed)
        with pytest.raises(ModelFailed):
            server.transport.models()


@pytest.mark.parametrize(
    ("encoding", "text"),
    [("br", "not asked for: br"), ("gzip", "no gzip"), ("GZip", "no GZip"), ("deflate", "no deflate")],
)
def test_an_answer_that_cannot_be_decompressed(encoding: str, text: str) -> None:
    with Answering(200, b"nonsense", encoding=encoding) as server:
        error = error_of(server.transport.submit(echo_request()))
        assert isinstance(error, Unavailable)
        assert text in str(error)


def test_a_host_whose_name_cannot_be_sent() -> None:
    with pytest.raises(ConfigError, match="ASCII"):
        HttpTransport("caf\u00e9.example:8000")


def test_names_and_timeout_as_they_travel() -> None:
    with Answering(200, b'{"model_name": "a/b", "model_version": "2"}') as server:
        server.transport.submit(echo_request(model="a/b \u00e9", version="2", timeout_s=WAIT_S)).result(WAIT_S)
        ((method, path, body),) = server.seen
        assert (method, path) == ("POST", "/v2/models/a%2Fb%20%C3%A9/versions/2/infer")
        head = json.JSONDecoder().raw_decode(body.decode("latin1"))[0]
        assert 0 < head["parameters"]["timeout"] <= WAIT_S * 1e6


def test_a_server_without_model_configurations() -> None:
    metadata = {"name": "m", "versions": ["3"], "platform": "other", "outputs": []}
    metadata["inputs"] = [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]
    with Answering(404, b'{"detail": "Not Found"}', {"/v2/models/m": json.dumps(metadata).encode()}) as server:
        spec = server.transport.model_spec("m")
        assert (spec.version, spec.max_batch_size, spec.inputs[0].shape) == ("3", 0, (-1, 2))


def test_a_request_that_waits_too_long_for_a_thread() -> None:
    with RudePeer(hang_up=False) as peer:
        transport = HttpTransport(peer.target, threads=1)
        first = transport.submit(echo_request(timeout_s=0.3))
        second = transport.submit(echo_request(timeout_s=0.01))
        assert isinstance(error_of(first), DeadlineExceeded)
        assert isinstance(error_of(second), DeadlineExceeded)
        transport.close()
