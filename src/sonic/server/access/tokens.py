"""Bearer tokens: a list of known ones, and JSON Web Tokens signed with known keys."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sonic.errors import ConfigError, Unauthenticated
from sonic.watched import WatchedFile

if TYPE_CHECKING:
    import os

    Source = str | os.PathLike[str]

_LEEWAY_S = 30
_COMMENT = re.compile(r"(^|\s)#.*")


class Tokens:
    """Who may use the server. Thread-safe. Its files are read again when they change.

    Parameters
    ----------
    static : path or None
        A file of tokens, one a line, each with its owner's name behind a space if it has one; ``#`` begins a comment,
        but not in the middle of a token.
    jwks : path or None
        A JSON Web Key Set. A token signed with one of its keys is accepted until it expires. Needs the extra ``auth``.
    audience, issuer : str or None
        What a JSON Web Token must say; None: not looked at.

    Raises
    ------
    ConfigError
        If a file cannot be read or holds nothing, or the extra is not installed.
    """

    def __init__(
        self,
        static: Source | None = None,
        jwks: Source | None = None,
        *,
        audience: str | None = None,
        issuer: str | None = None,
    ) -> None:
        # By their hash: how long a look-up takes says nothing of the token.
        self._static = None if static is None else WatchedFile(Path(static), _read_static)
        self._jwt = None if jwks is None else _WebTokens(Path(jwks), audience, issuer)

    def owner(self, authorization: str | None) -> str:
        """Return whose token it is.

        Parameters
        ----------
        authorization : str or None
            The header of that name.

        Raises
        ------
        Unauthenticated
            If there is no token, or none that is accepted; the message never holds it.
        """
        scheme, _, token = (authorization or "").strip().partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("a token is needed: send the header 'Authorization: Bearer ...'")
        known = None if self._static is None else self._static.get().get(_digest(token))
        if known is not None:
            return known
        if self._jwt is None or token.count(".") != 2:
            raise Unauthenticated("the token is not one that the server knows")
        return self._jwt.owner(token)


class _WebTokens:
    def __init__(self, path: Path, audience: str | None, issuer: str | None) -> None:
        try:
            import jwt
        except ImportError as error:
            raise ConfigError("--jwt-keys needs the extra: pip install 'sonic-hep[auth]'") from error
        self._jwt = jwt
        self._keys = WatchedFile(path, self._read_keys)
        self._options: Any = {"require": ["exp"], "verify_aud": audience is not None}
        self._audience, self._issuer = audience, issuer

    def owner(self, token: str) -> str:
        try:
            kid = self._jwt.get_unverified_header(token).get("kid")
            keys = self._keys.get()
            key = next(iter(keys.values())) if kid is None and len(keys) == 1 else keys.get(kid)
            if key is None:
                raise Unauthenticated("the token is signed with no key that the server knows")
            # The algorithm is the key's: what the token says of it is not to be believed.
            claims = self._jwt.decode(
                token,
                key=key,
                algorithms=[key.algorithm_name],
                audience=self._audience,
                issuer=self._issuer,
                leeway=_LEEWAY_S,
                options=self._options,
            )
        except self._jwt.PyJWTError as error:
            raise Unauthenticated(f"the token is refused: {error}") from None
        except (RecursionError, ValueError):  # of its JSON and its text, which PyJWT lets pass
            raise Unauthenticated("the token is refused: it cannot be read") from None
        return f"{claims.get('iss', '')}#{claims.get('sub', '')}"

    def _read_keys(self, path: Path) -> dict[str | None, Any]:
        jwt = self._jwt
        try:
            listed = jwt.PyJWKSet.from_json(_text(path, "--jwt-keys")).keys
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError) as error:
            raise ConfigError(f"--jwt-keys {path} is no JSON Web Key Set: {error}") from error
        keys: dict[str | None, Any] = {key.key_id: key for key in listed}
        if len(keys) != len(listed):
            raise ConfigError(f"--jwt-keys {path}: with several keys, each needs a 'kid' of its own")
        return keys


def _read_static(path: Path) -> dict[bytes, str]:
    tokens: dict[bytes, str] = {}
    for number, line in enumerate(_text(path, "--token-file").splitlines(), start=1):
        token, *name = _COMMENT.sub("", line).split(maxsplit=1) or [""]
        if token:
            tokens[_digest(token)] = name[0].strip() if name else f"line {number}"
    if not tokens:
        raise ConfigError(f"--token-file {path} has no token")
    return tokens


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()


def _text(path: Path, option: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"cannot read {option} {path}: {reason}") from error
