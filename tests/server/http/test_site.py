from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sonic.errors import RateLimited
from sonic.server.access.guard import Guard
from sonic.server.access.ratelimit import RateLimit
from sonic.server.dataplane import Dataplane
from sonic.server.http.head import read_head
from sonic.server.http.infer import Inference
from sonic.server.http.site import MetricsSite, ProtocolSite
from sonic.server.models.repository import Repository

if TYPE_CHECKING:
    from sonic.server.http.head import Head


def head(method: str, path: str, *lines: str) -> Head:
    return read_head("\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode())


@pytest.fixture
def dataplane(folder: Any) -> Dataplane:
    return Dataplane(Repository([folder.path]))


@pytest.mark.parametrize(
    ("method", "path", "infers"),
    [
        ("POST", "/v2/models/a/infer", True),
        ("POST", "/v2/models/a%20b/versions/3/infer?x=y", True),
        ("GET", "/v2/models/a/infer", False),
        ("POST", "/v2/models/a/infer/", False),
        ("POST", "/v2/models/a%2fb/infer", True),
        ("POST", "/v2/models/a%2finfer", False),
        ("POST", "/v2/%6dodels/a/infer", False),
        ("POST", "/v2/models//infer", False),
        ("POST", "/v2/models/a/versions//infer", False),
        ("POST", "/v2/models/a/load", False),
    ],
)
def test_what_is_answered_without_detour(method: str, path: str, infers: bool, dataplane: Dataplane) -> None:
    site = ProtocolSite(dataplane, metrics_port=None, max_body_bytes=10)
    assert isinstance(site.route(head(method, path)), Inference) is infers


@pytest.mark.parametrize(
    ("lines", "prefix"),
    [((), 0), (("7",), 7), (("x",), 0), (("7\r\nContent-Encoding: gzip",), 0)],
)
def test_bodies_are_aligned_for_their_tensors(lines: tuple[str, ...], prefix: int, dataplane: Dataplane) -> None:
    fields = [f"Inference-Header-Content-Length: {line}" for line in lines]
    site = ProtocolSite(dataplane, metrics_port=None, max_body_bytes=10)
    assert site.route(head("POST", "/v2/models/a/infer", *fields)).prefix == prefix


def test_probes_are_for_everyone(dataplane: Dataplane) -> None:
    guard = Guard(limit=RateLimit(1, burst=1), clock=lambda: 0.0)
    site = ProtocolSite(dataplane, metrics_port=None, max_body_bytes=10, guard=guard)
    site.admit(head("GET", "/v2"), "192.0.2.1")
    with pytest.raises(RateLimited):
        site.admit(head("GET", "/v2"), "192.0.2.1")
    site.admit(head("GET", "/v2/health/ready"), "192.0.2.1")
    for path in ("/v2/health%2Fready", "/%762/health/ready", "/v2/health/ready/", "/V2/health/ready", "//"):
        with pytest.raises(RateLimited):
            site.admit(head("GET", path), "192.0.2.1")
    site.admit(head("GET", "/v2"), "192.0.2.2")
    for _ in range(3):
        MetricsSite(dataplane).admit(head("GET", "/metrics"), "192.0.2.1")
