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

    Raises
    ------
    ConfigError
        If a file cannot be read, or certificate and key do not belong together.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None

    def __post_init__(self) -> None:
        for option, path in (("cert", self.certificate), ("key", self.key), ("client-ca", self.client_ca)):
            if path is not None:
                _read(path, f"--tls-{option}")
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


def _read(path: Path, option: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {option} {path}: {error.strerror}") from error
