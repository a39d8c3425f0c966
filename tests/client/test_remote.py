from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import sonic
from sonic.client.identity import LocalCopy
from sonic.client.remote import check, compare, listed, served
from sonic.client.url import connect, parse_server
from sonic.errors import ModelNotFound, Unsupported
from sonic.protocol.digests import store
from sonic.protocol.facts import Finding
from sonic.protocol.messages import ModelStatus
from sonic.specs import DType, ModelSpec, TensorSpec
from sonic.testing.conformance import write_models
from sonic.testing.transports import FakeTransport

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sonic.client.transport import Transport

SPEC = ModelSpec("m", "2", (TensorSpec("x", DType.FP32, (-1,)),), (TensorSpec("y", DType.FP32, (-1,)),))


class Scripted(FakeTransport):
    rows: tuple[ModelStatus, ...] = (
        ModelStatus("m", "1", "READY"),
        ModelStatus("m", "2", "READY"),
        ModelStatus("broken", "1", "UNAVAILABLE", "model 'broken' version 1 cannot be loaded: no file"),
        ModelStatus("later", "", "UNAVAILABLE", "not loaded"),
        ModelStatus("m", "3", "UNAVAILABLE", "unloaded"),
    )

    def models(self, timeout_s: float | None = None) -> tuple[ModelStatus, ...]:
        return self.rows


@pytest.fixture
def fake() -> Scripted:
    return Scripted([SPEC], lambda _: {})


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models with checksums, of a file that the identity backend does not need."""
    folder = write_models(tmp_path_factory.mktemp("own"))
    (folder / "echo" / "1" / "weights").write_text("a")
    store(folder / "echo")
    return folder


@pytest.fixture(scope="module")
def transport(own: Path) -> Iterator[Transport]:
    with sonic.serve(own, cores=1) as server:
        transport = connect(parse_server(server.grpc_url))
        yield transport
        transport.close()


def test_a_model_of_a_server(transport: Transport) -> None:
    facts = served(transport, "echo")
    assert (facts.name, facts.where, facts.state) == ("echo", transport.url, "READY")
    assert (facts.versions, facts.kind, facts.files) == (("1",), "identity", ())
    assert facts.spec is not None
    assert facts.document()["checksums"] == {"MD5:1/weights": "0cc175b9c0f1b6a831c399e269772661"}
    with pytest.raises(ModelNotFound):
        served(transport, "absent")


def test_the_models_of_a_server(fake: Scripted) -> None:
    rows = listed(fake)
    assert [(facts.name, facts.versions, facts.state) for facts, _ in rows] == [
        ("broken", (), "UNAVAILABLE"),
        ("later", (), "UNAVAILABLE"),
        ("m", ("1", "2"), "READY"),
    ]
    assert [reason for _, reason in rows] == [fake.rows[2].reason, "not loaded", ""]


def test_a_server_without_the_extensions(fake: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise Unsupported("no")

    monkeypatch.setattr(fake, "models", refuse)
    monkeypatch.setattr(fake, "model_config", refuse)
    facts = served(fake, "m")
    assert (facts.versions, facts.spec, facts.kind) == (("2",), SPEC, "")


def test_what_is_not_ready_is_said(fake: Scripted) -> None:
    assert check(fake) == (
        ("m", "broken", "later"),
        (
            Finding("broken", "version 1 is unavailable: version 1 cannot be loaded: no file"),
            Finding("later", "is unavailable: not loaded", "note"),
            Finding("m", "version 3 is unavailable: unloaded", "note"),
        ),
    )


def test_comparing_with_a_folder(transport: Transport, own: Path, tmp_path: Path) -> None:
    assert compare(transport, LocalCopy(own), ["echo"]) == ()
    other = write_models(tmp_path)
    (other / "echo" / "1" / "weights").write_text("b")
    (other / "absent" / "1").mkdir(parents=True)
    found = compare(transport, LocalCopy(other), ["echo", "kinds", "absent"])
    assert [(finding.model, finding.level) for finding in found] == [
        ("echo", "error"),
        ("kinds", "note"),
        ("absent", "error"),
    ]
    assert found[0].text == (
        f"on {transport.url}: 1/weights has MD5 0cc175b9c0f1b6a831c399e269772661, "
        "expected 92eb5ffee6ae2fec3ad71c777531578f"
    )
