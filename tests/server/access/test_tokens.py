from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sonic.errors import ConfigError, Unauthenticated
from sonic.server.access.tokens import Tokens

if TYPE_CHECKING:
    from pathlib import Path

KEY = ec.generate_private_key(ec.SECP256R1())
OTHER = ec.generate_private_key(ec.SECP256R1())


def jwks(*kids: str | None) -> str:
    row = jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key(), as_dict=True)
    return json.dumps({"keys": [{**row, "alg": "ES256", **({"kid": kid} if kid else {})} for kid in kids]})


def token(key: Any = KEY, algorithm: str = "ES256", kid: str | None = None, **claims: Any) -> str:
    content = {"sub": "ana", "iss": "site", "aud": "sonic", "exp": time.time() + 600, **claims}
    kept = {name: value for name, value in content.items() if value is not None}
    return jwt.encode(kept, key, algorithm=algorithm, headers={"kid": kid} if kid else None)


@pytest.fixture
def accepted(tmp_path: Path) -> Tokens:
    (tmp_path / "keys").write_text(jwks(None))
    return Tokens(jwks=tmp_path / "keys", audience="sonic", issuer="site")


def test_known_tokens(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("# people\nabc123 ana of CMS\n\n  def456   # no name\n")
    tokens = Tokens(tmp_path / "t")
    assert tokens.owner("Bearer abc123") == "ana of CMS"
    assert tokens.owner("bearer  def456 ") == "line 4"
    for header in (None, "", "Bearer", "Basic abc123", "abc123"):
        with pytest.raises(Unauthenticated, match="a token is needed"):
            tokens.owner(header)
    for header in ("Bearer abc", "Bearer abc1234", "Bearer ana", "Bearer #", "Bearer é", "Bearer a.b.c"):
        with pytest.raises(Unauthenticated, match="is not one that the server knows") as caught:
            tokens.owner(header)
        assert header.split()[1] not in str(caught.value).split()


def test_a_known_token_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("abc#123 ana # of CMS\ndef\tbob\n #ghi\n")
    tokens = Tokens(tmp_path / "t")
    assert [tokens.owner(f"Bearer {token}") for token in ("abc#123", "def")] == ["ana", "bob"]
    for part in ("abc", "ghi", "#ghi"):
        with pytest.raises(Unauthenticated, match="is not one that the server knows"):
            tokens.owner(f"Bearer {part}")


def test_web_tokens(accepted: Tokens) -> None:
    assert accepted.owner(f"Bearer {token()}") == "site#ana"


@pytest.mark.parametrize(
    "bad",
    [
        token(OTHER),
        token(exp=time.time() - 100),
        token(exp=None),
        token(aud="elsewhere"),
        token(aud=None),
        token(iss="elsewhere"),
        token(nbf=time.time() + 1000),
        token(kid="unknown"),
        token(None, "none"),
        token(KEY.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint), "HS256"),
        token()[:-4] + "AAAA",
        "a.b.c",
        "..",
        f"{base64.urlsafe_b64encode(b'[' * 30_000).decode()}.e30.e30",
        f"{base64.urlsafe_b64encode(b'9' * 5_000).decode()}.e30.e30",
        "\u00e9.\udcff.x",
    ],
)
def test_web_tokens_that_are_refused(bad: str, accepted: Tokens) -> None:
    with pytest.raises(Unauthenticated, match=r"^the token is "):
        accepted.owner(f"Bearer {bad}")


def test_a_key_is_chosen_by_its_id(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(jwks("1", "2"))
    tokens = Tokens(jwks=tmp_path / "keys")
    assert tokens.owner(f"Bearer {token(kid='2')}") == "site#ana"
    with pytest.raises(Unauthenticated, match="signed with no key"):
        tokens.owner(f"Bearer {token()}")


@pytest.mark.parametrize("text", ["{}", "[]", "x", '{"keys": []}', '{"keys": [{"kty": "nope"}]}', jwks("1", "1")])
def test_files_that_are_no_key_set(text: str, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(text)
    with pytest.raises(ConfigError, match="--jwt-keys"):
        Tokens(jwks=tmp_path / "keys")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for option in ("static", "jwks"):
        with pytest.raises(ConfigError, match=r"cannot read --.* No such file"):
            Tokens(**{option: tmp_path / "absent"})
    (tmp_path / "t").write_text("# nobody\n")
    with pytest.raises(ConfigError, match="has no token"):
        Tokens(tmp_path / "t")


def test_files_are_read_again_when_they_change(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("old ana\n")
    (tmp_path / "keys").write_text(jwks("1"))
    tokens = Tokens(tmp_path / "t", tmp_path / "keys")
    assert tokens.owner("Bearer old") == "ana"
    (tmp_path / "t").write_text("another ben\n")
    assert tokens.owner("Bearer another") == "ben"
    with pytest.raises(Unauthenticated, match="is not one that the server knows"):
        tokens.owner("Bearer old")
    with pytest.raises(Unauthenticated, match="signed with no key"):
        tokens.owner(f"Bearer {token(kid='second')}")
    (tmp_path / "keys").write_text(jwks("1", "second"))
    assert tokens.owner(f"Bearer {token(kid='second')}") == "site#ana"
