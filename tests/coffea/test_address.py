from __future__ import annotations

from typing import Any

import pytest

from sonic.coffea.address import address_of
from sonic.errors import ConfigError


@pytest.mark.parametrize(
    ("url", "client_args", "expected"),
    [
        ("triton+grpc://host:8001/tagger/1", None, "grpcs://host:8001/tagger/1"),
        ("triton+grpc://host:8001/tagger/1", {"ssl": True}, "grpcs://host:8001/tagger/1"),
        ("triton+grpc://host:8001/tagger/1", {"ssl": False}, "grpc://host:8001/tagger/1"),
        ("triton+http://host:8000/tagger/1", None, "http://host:8000/tagger/1"),
        ("triton+http://host:8000/tagger/1", {"ssl": True, "verbose": True}, "https://host:8000/tagger/1"),
        ("grpc://host/tagger", None, "grpc://host:8001/tagger"),
        ("local:/models/tagger", None, "local:/models/tagger"),
        (
            "triton+grpc://host:8001/tagger/1",
            {"root_certificates": "ca.pem", "private_key": "k.pem", "certificate_chain": "c.pem"},
            "grpcs://host:8001/tagger/1?ca=ca.pem&key=k.pem&cert=c.pem",
        ),
        (
            "triton+http://host:8000/tagger/1",
            {"ssl": True, "ssl_options": {"ca_certs": "ca.pem"}, "concurrency": 12, "network_timeout": 60.0},
            "https://host:8000/tagger/1?ca=ca.pem",
        ),
        ("triton+grpc://host/m/1", {"ssl": False, "root_certificates": "ca.pem"}, "grpc://host:8001/m/1"),
        ("grpcs://host/m?ca=ca.pem&cert=c.pem&key=k.pem", None, "grpcs://host:8001/m?ca=ca.pem&cert=c.pem&key=k.pem"),
        ("https://host/m?ca=ca.pem", {"ssl": False}, "https://host:8000/m?ca=ca.pem"),
        ("grpcs://host/m", {"root_certificates": "ca.pem"}, "grpcs://host:8001/m?ca=ca.pem"),
        ("triton+grpc://host/m/1?token_file=t", {"ssl": False}, "grpc://host:8001/m/1?token_file=t"),
        ("triton+grpc://host/m/1", {"root_certificates": None, "creds": None}, "grpcs://host:8001/m/1"),
    ],
)
def test_what_coffea_takes_as_one_url(url: str, client_args: dict[str, Any] | None, expected: str) -> None:
    assert str(address_of(url, client_args)) == expected


@pytest.mark.parametrize(
    ("url", "client_args", "message"),
    [
        ("triton+grpc://host:8001", None, "names no model"),
        ("triton+ftp://host/m/1", None, "is not a URL"),
        ("triton+grpc://host/m/1", {"sssl": False}, "client_args has 'sssl', expected one of ssl"),
        ("triton+grpc://host/m/1", {"creds": object()}, "client_args has 'creds', which Sonic does not take"),
        ("triton+http://host/m/1", {"ssl": True, "insecure": True}, "name its authority"),
        ("triton+http://host/m/1", {"ssl_options": {"ciphers": "x"}}, "ssl_options has 'ciphers'"),
    ],
)
def test_what_makes_no_sense(url: str, client_args: dict[str, Any] | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        address_of(url, client_args)
