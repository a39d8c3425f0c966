from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx
import pytest

from sonic.errors import ConfigError, DataError, Unavailable
from sonic.monitor.endpoint import Endpoint, candidates

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

METRICS = '# TYPE nv_inference_count counter\nnv_inference_count{model="a",version="1"} 1\n'


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://h:9/metrics", ["http://h:9/metrics"]),
        ("https://h/federate/metrics", ["https://h:8002/federate/metrics"]),
        ("h:8002", ["http://h:8002/metrics", "http://h:8004/metrics", "http://h:8003/metrics"]),
        ("http://h:8000/", ["http://h:8000/metrics", "http://h:8002/metrics", "http://h:8001/metrics"]),
        ("grpc://h:8001", ["http://h:8002/metrics"]),
        ("triton+grpc://h:9001/model/1", ["http://h:9002/metrics", "http://h:8002/metrics"]),
        ("h", ["http://h:8002/metrics", "http://h:8004/metrics", "http://h:8003/metrics"]),
        ("[::1]:8002", ["http://[::1]:8002/metrics", "http://[::1]:8004/metrics", "http://[::1]:8003/metrics"]),
    ],
)
def test_where_metrics_may_be(url: str, expected: list[str]) -> None:
    assert list(candidates(url)) == expected


@pytest.mark.parametrize("url", ["", "what is this", "ftp://h", "h:0", "h:70000", "http://"])
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(ConfigError, match="expected a URL like"):
        candidates(url)


def endpoint(url: str, answer: Callable[[httpx.Request], httpx.Response]) -> Endpoint:
    return Endpoint(url, transport=httpx.MockTransport(answer))


def server(metrics_port: int) -> Callable[[httpx.Request], httpx.Response]:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.port == metrics_port and request.url.path == "/metrics":
            return httpx.Response(200, text=METRICS)
        if request.url.port in (8000, 8001, metrics_port):
            return httpx.Response(404)
        raise httpx.ConnectError("connection refused")

    return answer


@pytest.mark.parametrize("url", ["h:8000", "h:8001", "h:8002", "grpc://h:8001", "http://h:8002/metrics"])
def test_it_is_found_by_habit(url: str) -> None:
    with endpoint(url, server(8002)) as found:
        assert ("a", "1") in found.scrape().models
        assert found.url == "http://h:8002/metrics"
        found.scrape()


def test_no_answer_says_what_was_tried_and_may_come_later() -> None:
    up = False

    def answer(request: httpx.Request) -> httpx.Response:
        if not up:
            raise httpx.ConnectError("connection refused")
        return server(8002)(request)

    with endpoint("h:8002", answer) as found:
        with pytest.raises(
            Unavailable, match=r"no answer from http://h:8002/metrics: .*refused \(nor at http://h:8004"
        ):
            found.scrape()
        up = True
        found.scrape()
        up = False
        with pytest.raises(Unavailable, match=r"^no answer from http://h:8002/metrics: connection refused$"):
            found.scrape()


def test_something_else_answers() -> None:
    with (
        endpoint("http://h:80/metrics", lambda _: httpx.Response(200, text="<html>")) as found,
        pytest.raises(DataError, match="http://h:80/metrics: the answer"),
    ):
        found.scrape()


def guarded(request: httpx.Request) -> httpx.Response:
    """Metrics behind a token at 8000, and something else next to it that must not see one."""
    if request.url.port != 8000:
        assert "authorization" not in request.headers
        return httpx.Response(404)
    if request.headers.get("authorization") != "Bearer open-sesame":
        return httpx.Response(401)
    return httpx.Response(200, text=METRICS)


def test_a_token_goes_where_it_is_meant_to() -> None:
    with Endpoint("h:8000", token="open-sesame", transport=httpx.MockTransport(guarded)) as found:
        assert ("a", "1") in found.scrape().models
        assert found.url == "http://h:8000/metrics"


@pytest.mark.parametrize(
    ("token", "complaint"), [(None, "it wants a token ("), ("old", "it wants a token, and not this one (")]
)
def test_a_token_is_wanted(token: str | None, complaint: str) -> None:
    with (
        Endpoint("h:8000", token=token, transport=httpx.MockTransport(guarded)) as found,
        pytest.raises(Unavailable, match=re.escape(complaint)),
    ):
        found.scrape()


@pytest.mark.parametrize("token", ["", "two words", "grün", "line\n"])
def test_what_is_no_token(token: str) -> None:
    with pytest.raises(ConfigError, match="the token is not one word"):
        Endpoint("h", token=token)


def test_authorities_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nonsense")
    for name in ("ca.pem", "absent.pem"):
        with pytest.raises(ConfigError, match=rf"cannot use the authorities in .*{name}: "):
            Endpoint("https://h", ca=tmp_path / name)
