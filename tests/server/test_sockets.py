from __future__ import annotations

import pytest

from sonic.errors import ConfigError
from sonic.server.sockets import authority, listen


def test_any_free_port() -> None:
    with listen("127.0.0.1", 0, "--http-port") as claimed:
        assert claimed.getsockname()[1] > 0


def test_a_port_that_is_taken() -> None:
    with listen("127.0.0.1", 0, "--http-port") as claimed:
        port = claimed.getsockname()[1]
        with pytest.raises(
            ConfigError, match=rf"port {port} is taken on 127\.0\.0\.1: choose another with --grpc-port"
        ):
            listen("127.0.0.1", port, "--grpc-port")


@pytest.mark.parametrize(
    ("host", "port", "text"),
    [
        ("127.0.0.1", 70000, "--http-port must be between 0 and 65535, given 70000"),
        ("no.such.host.invalid", 0, "cannot listen on host 'no.such.host.invalid'"),
        ("192.0.2.1", 0, r"cannot listen on 192\.0\.2\.1:0 \(--http-port\): Cannot assign"),
    ],
)
def test_what_cannot_be_listened_on(host: str, port: int, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        listen(host, port, "--http-port")


def test_addresses_in_urls() -> None:
    assert authority("127.0.0.1", 1) == "127.0.0.1:1"
    assert authority("::1", 1) == "[::1]:1"
