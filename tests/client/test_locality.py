from __future__ import annotations

import socket

import pytest

from sonic.client.locality import on_loopback, on_this_host


@pytest.mark.parametrize(
    ("scheme", "where"),
    [
        ("grpc", "127.0.0.1:8001"),
        ("https", "127.8.9.10:1"),
        ("http", "[::1]:8000"),
        ("grpc", "localhost:8001"),
        ("grpc+unix", "/run/sonic.sock"),
        ("http+unix", "/run/sonic.sock"),
    ],
)
def test_loopback_and_sockets_are_here(scheme: str, where: str) -> None:
    assert on_this_host(scheme, where)


@pytest.mark.parametrize("where", ["192.0.2.1:8001", "[2001:db8::1]:8001", "no-such-host.invalid:1", "a..b:1"])
def test_others_are_not(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    find = socket.getaddrinfo

    def without_network(host: str, *arguments: object, **named: object) -> object:
        if host[0].isalpha():
            raise socket.gaierror("Name or service not known")
        return find(host, *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", without_network)
    assert not on_this_host("grpc", where)


def test_what_names_the_host_that_reads_it() -> None:
    for where in ("localhost:1", "127.0.0.1:8001", "[::1]:8000"):
        assert on_loopback("grpc", where)
    assert on_loopback("http+unix", "/run/sonic.sock")
    assert not on_loopback("grpc", "192.0.2.1:8001")
    assert not on_loopback("grpc", "gpu01:8001")


def test_an_address_of_an_interface_is_here() -> None:
    # The address that this host would send from: nothing is sent.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this host has no address but loopback")
        own = probe.getsockname()[0]
    assert on_this_host("grpc", f"{own}:8001")


def test_a_name_with_an_address_elsewhere_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, None, 0, "", (address, 0)) for address in ("127.0.0.1", "192.0.2.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert not on_this_host("grpc", "both:8001")
