from __future__ import annotations

import pytest

from sonic.client import url
from sonic.client.grpc import GrpcTransport
from sonic.client.http import HttpTransport
from sonic.client.url import Address, connect, parse_model, parse_server
from sonic.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("grpc://host:8001/tagger", Address("grpc", "host:8001", "tagger")),
        ("grpc://host:8001/tagger/3", Address("grpc", "host:8001", "tagger", "3")),
        ("grpc://host:8001/tagger/3/", Address("grpc", "host:8001", "tagger", "3")),
        ("triton+grpc://host.site.org:8001/particlenet/1", Address("grpc", "host.site.org:8001", "particlenet", "1")),
        ("triton+http://10.0.0.1:80/tagger", Address("http", "10.0.0.1:80", "tagger")),
        ("GRPC://host/tagger", Address("grpc", "host:8001", "tagger")),
        ("http://host/tagger", Address("http", "host:8000", "tagger")),
        ("http://[::1]:8000/a%2Fb", Address("http", "[::1]:8000", "a/b")),
        ("grpcs://host/tagger?ca=/etc/ca.pem", Address("grpcs", "host:8001", "tagger", "", (("ca", "/etc/ca.pem"),))),
        (
            "https://host:443/tagger/1?token_file=/home/ana/a%20b",
            Address("https", "host:443", "tagger", "1", (("token_file", "/home/ana/a b"),)),
        ),
        ("grpc+unix:/run/sonic/a.sock/tagger/2", Address("grpc+unix", "/run/sonic/a.sock", "tagger", "2")),
        ("http+unix:///run/a.sock/tag.sock", Address("http+unix", "/run/a.sock", "tag.sock")),
        ("local:/models/tagger", Address("local", "/models", "tagger")),
        ("local:models/tagger/2", Address("local", "models", "tagger", "2")),
        ("local:tagger", Address("local", ".", "tagger")),
        ("local:/a/my models/tagger?cores=2", Address("local", "/a/my models?cores=2", "tagger")),
    ],
)
def test_models(text: str, address: Address) -> None:
    assert parse_model(text) == address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("grpc://host:8001", Address("grpc", "host:8001")),
        ("triton+http://host/", Address("http", "host:8000")),
        (
            "grpcs://host?ca=a&cert=b&key=c",
            Address("grpcs", "host:8001", options=(("ca", "a"), ("cert", "b"), ("key", "c"))),
        ),
        ("grpc+unix:/run/a.sock", Address("grpc+unix", "/run/a.sock")),
        ("local:/models", Address("local", "/models")),
        ("local:models?cores=2", Address("local", "models?cores=2")),
    ],
)
def test_servers(text: str, address: Address) -> None:
    assert parse_server(text) == address
    assert parse_server(address.server) == address


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("host:8001/tagger", "'host:8001/tagger' is not a URL of a server: expected grpc://host:port/model"),
        ("ftp://host/tagger", "'ftp://host/tagger' is not a URL"),
        ("grpc+unix:run/a.sock/tagger", "is not a URL"),
        ("grpc+unix:/run/socket/tagger", "is not a URL"),
        ("https://host/tagger?token=abc", "has option token=abc, expected a value for ca, cert, key, token_file"),
        ("grpc://host/tagger?compression=zip", "has compression zip, expected gzip or deflate"),
        ("https://host/tagger?ca=", "has option ca=, expected a value"),
        ("grpc://", "is not a URL"),
        ("grpc://:8001/tagger", "is not a URL"),
        ("grpc://ho st:8001/tagger", "is not a URL"),
        ("grpc://user:secret@host/tagger", "is not a URL"),
        ("grpc://host:port/tagger", "is not a URL"),
        ("grpc://host:99999/tagger", "has port 99999, expected 1 to 65535"),
        ("grpc://host:8001", "names no model"),
        ("grpc://host:8001/a/1/infer", "has more than a model and a version"),
        ("", "is not a URL"),
        ("local:", "names no folder"),
        ("local:/", "names no model"),
        ("local:models/..", "names no model"),
    ],
)
def test_what_is_no_model(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as caught:
        parse_model(text)
    assert "\n" not in str(caught.value)


def test_a_server_is_without_model() -> None:
    with pytest.raises(ConfigError, match="names a model"):
        parse_server("grpc://host:8001/tagger")


@pytest.mark.parametrize("text", ["host:8001", "ftp://host:8001", "grpc://", "local:"])
def test_the_forms_that_are_shown_of_a_server_name_no_model(text):
    with pytest.raises(ConfigError, match=r"expected grpc://host:port or http://host:port or [^ ]*") as caught:
        parse_server(text)
    assert "version" not in str(caught.value)
    assert str(caught.value).endswith("local:/folder/of/models")


def test_transports_by_scheme() -> None:
    for text, kind in (("grpc://127.0.0.1:1", GrpcTransport), ("http://127.0.0.1:1", HttpTransport)):
        transport = connect(parse_server(text))
        assert isinstance(transport, kind)
        assert transport.url == text
        transport.close()


def test_a_scheme_without_transport(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(url, "entry_points", lambda **_: ())
    with pytest.raises(ConfigError, match="no transport for grpc://host:1"):
        connect(Address("grpc", "host:1"))


def test_an_address_is_written_as_it_is_read() -> None:
    for text in ("grpc://host:8001/a%2Fb/3", "local:/models/tagger/2"):
        assert str(parse_model(text)) == text
