"""Certificates of the server, and of its clients where it asks for them."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from sonic.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Tls:
    """What TLS needs, as files in PEM.

    Parameters
    ----------
    certificate : Path
        The server's, with those between it and its authority.
    key : Path
        Its private key, without a password.
    client_ca : Path or None
        Authorities of clients, each of which then needs a certificate; None: clients need none.
    flags : tuple of str
        By which of the command line's the three were given, for messages.

    Raises
    ------
    ConfigError
        If a file cannot be read, or certificate and key do not belong together.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None
    flags: tuple[str, str, str] = ("--tls-cert", "--tls-key", "--tls-client-ca")

    def __post_init__(self) -> None:
        for flag, path in zip(self.flags, (self.certificate, self.key, self.client_ca), strict=True):
            if path is not None:
                _read(path, flag)
        self.context()

    def context(self, *protocols: str) -> ssl.SSLContext:
        """Return what the event loop asks for; `protocols` are those that are spoken, as ALPN names them.

        Raises
        ------
        ConfigError
            If certificate and key do not belong together.
        """
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate, self.key, password="")
            if self.client_ca is not None:
                context.load_verify_locations(self.client_ca)
                context.verify_mode = ssl.CERT_REQUIRED
        except ssl.SSLError as error:
            raise ConfigError(
                f"TLS with {self.certificate}, {self.key}{f', {self.client_ca}' if self.client_ca else ''}: "
                f"{error.reason or error}"
            ) from error
        context.set_alpn_protocols(list(protocols))
        return context


def _read(path: Path, flag: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {flag} {path}: {error.strerror}") from error
