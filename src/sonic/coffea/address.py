"""A URL and the arguments of Triton's clients, as coffea takes them, as one URL of Sonic's. Pure."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sonic.client.url import parse_model
from sonic.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sonic.client.url import Address

_FILES = {"root_certificates": "ca", "private_key": "key", "certificate_chain": "cert"}
_ENCRYPTED = {"grpc": "grpcs", "http": "https"}
_SSL_OPTIONS = {"ca_certs": "ca", "keyfile": "key", "certfile": "cert"}
_NOT_NEEDED = (
    *("verbose", "keepalive_options", "channel_args"),
    *("concurrency", "connection_timeout", "network_timeout", "max_greenlets", "ssl_context_factory"),
)
_REFUSED = {"creds": "name the files in the URL: ?ca=...&cert=...&key=...", "insecure": "name its authority: ?ca=..."}


def address_of(model_url: str, client_args: Mapping[str, Any] | None) -> Address:
    """Read where a model is.

    Parameters
    ----------
    model_url : str
        ``triton+grpc://host:port/model/version``, which is encrypted unless ``ssl`` is false, as in coffea;
        ``triton+http://...``, encrypted if ``ssl`` is true; or a URL as for :class:`sonic.Model`, which says so itself.
    client_args : mapping, optional
        Of ``tritonclient.{grpc,http}.InferenceServerClient``: ``ssl`` and the names of certificates count; what
        concerns how that client connects and waits has no counterpart, and is passed over.

    Raises
    ------
    ConfigError
        If the URL is none, or an argument is unknown or cannot be followed.
    """
    given = dict(client_args or {})
    address = parse_model(model_url)
    files: dict[str, str] = {}
    tritons = model_url.lower().startswith("triton+")
    ssl = given.pop("ssl", tritons and address.scheme == "grpc")
    for name, value in (given.pop("ssl_options", None) or {}).items():
        if name not in _SSL_OPTIONS:
            raise ConfigError(f"ssl_options has {name!r}, expected one of {', '.join(_SSL_OPTIONS)}")
        files[_SSL_OPTIONS[name]] = os.fspath(value)
    for name, value in given.items():
        if name in _FILES:
            if value is not None:
                files[_FILES[name]] = os.fspath(value)
        elif name in _REFUSED and value:
            raise ConfigError(f"client_args has {name!r}, which Sonic does not take: {_REFUSED[name]}")
        elif name not in _NOT_NEEDED and name not in _REFUSED:
            known = ("ssl", "ssl_options", *_FILES, *_NOT_NEEDED)
            raise ConfigError(f"client_args has {name!r}, expected one of {', '.join(known)}")
    scheme = _ENCRYPTED.get(address.scheme, address.scheme) if ssl else address.scheme
    # Files among the arguments of a connection that is not encrypted are passed over, as Triton's clients do.
    options = dict(address.options) | (files if scheme in _ENCRYPTED.values() else {})
    return replace(address, scheme=scheme, options=tuple(options.items()))
