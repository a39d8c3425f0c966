"""What a client shows of itself, and whom it trusts: TLS and tokens, from files that a URL names."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sonic.errors import ConfigError
from sonic.watched import WatchedFile

if TYPE_CHECKING:
    from collections.abc import Callable

_DESCRIPTORS = ("/dev", "/proc")
"""Folders of open files by their numbers, which may be those of others later: what is there is read once."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Files, each optional.

    Parameters
    ----------
    ca : str or None
        Authorities that the server's certificate may come from, in PEM; None: those of the system.
    cert, key : str or None
        The client's certificate and its key, for a server that asks for them.
    token_file : str or None
        A file that holds a bearer token and nothing else; read again when it changes.
    """

    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    token_file: str | None = None

    def __post_init__(self) -> None:
        if (self.cert is None) != (self.key is None):
            raise ConfigError("options cert and key go together")

    def refuse_tls(self, url: str) -> None:
        """Make sure that no option for TLS is given to a connection without it.

        Raises
        ------
        ConfigError
        """
        for name in ("ca", "cert"):
            if getattr(self, name) is not None:
                raise ConfigError(f"{url} is not encrypted: option {name} is for grpcs:// and https://")

    def read(self, option: str) -> bytes | None:
        """Return what is in the file of an option; None if there is none.

        Raises
        ------
        ConfigError
            If it cannot be read.
        """
        path = getattr(self, option)
        return None if path is None else _read(option, path)

    def authorization(self) -> Callable[[], str] | None:
        """Return what says the header of that name, as the token is now; None if there is none.

        Raises
        ------
        ConfigError
            If the file cannot be read, or holds no token.
        """
        if self.token_file is None:
            return None
        path = Path(self.token_file).absolute()  # wherever the program goes meanwhile
        if any(path.is_relative_to(folder) for folder in _DESCRIPTORS):
            header = _authorization(path)
            return lambda: header
        return WatchedFile(path, _authorization).get

    def context(self) -> ssl.SSLContext:
        """Return what Python's TLS needs.

        Raises
        ------
        ConfigError
            If a file cannot be read or used.
        """
        for option in ("ca", "cert", "key"):
            self.read(option)
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.cert is not None:
                context.load_cert_chain(self.cert, self.key, password="")
        except ssl.SSLError as error:
            files = ", ".join(filter(None, (self.ca, self.cert, self.key)))
            raise ConfigError(f"TLS with {files}: {error.reason or error}") from error
        return context


def _read(option: str, path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {option} {path}: {error.strerror}") from error


def _authorization(path: Path) -> str:
    token = _read("token_file", path).decode("latin-1").strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(f"token_file {path} does not hold one token")
    return f"Bearer {token}"
