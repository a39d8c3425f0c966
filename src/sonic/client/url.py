"""URLs of servers and of models on them, and the transports that they name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import PurePath
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, unquote, urlencode

from sonic.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sonic.client.transport import Transport

FORMS = (
    "grpc://host:port/model[/version]",
    "http://host:port/model[/version]",
    "triton+grpc://host:port/model[/version]",
    "grpcs://host:port/model[/version][?ca=FILE]",
    "https://host:port/model[/version][?ca=FILE]",
    "grpc+unix:/path/server.sock/model[/version]",
    "http+unix:/path/server.sock/model[/version]",
    "local:/folder/of/models/model[/version]",
)
"""What a URL of a model can look like. Without the model it is the URL of a server."""

_SERVERS = tuple(form.replace("/model[/version]", "") for form in FORMS)

OPTIONS = ("ca", "cert", "key", "token_file", "compression")
"""What a URL of a server can say behind a question mark: files (see :class:`sonic.client.secure.Credentials`), and
``compression=gzip`` or ``compression=deflate``, for lines that are slower than that is."""

COMPRESSIONS = ("gzip", "deflate")
"""Of requests; over HTTP of their answers too."""

_DEFAULT_PORT = {"grpc": 8001, "http": 8000, "grpcs": 8001, "https": 8000}
_REMOTE = re.compile(
    r"(?:triton\+)?(?P<scheme>grpcs?|https?)://(?P<where>[^/?#]*)(?P<path>/[^?#]*)?(?:\?(?P<query>[^#]*))?",
    re.IGNORECASE,
)
_UNIX = re.compile(
    r"(?P<scheme>grpc\+unix|http\+unix):(?://)?(?P<where>/[^?#]*?\.sock)(?P<path>/[^?#]*)?(?:\?(?P<query>[^#]*))?",
    re.IGNORECASE,
)
_WHERE = re.compile(r"(?P<host>[\w.-]+|\[[0-9a-fA-F:.]+\])(?::(?P<port>\d+))?")


@dataclass(frozen=True, slots=True)
class Address:
    """A server and perhaps a model on it.

    Parameters
    ----------
    scheme : str
        ``grpc``, ``grpcs``, ``grpc+unix``, ``http``, ``https``, ``http+unix`` or ``local``.
    where : str
        ``host:port``, the path of a Unix domain socket, or the folder of models.
    model, version : str
        Empty if the URL names none.
    options : tuple of (str, str)
        Of :data:`OPTIONS`, what the URL says.
    """

    scheme: str
    where: str
    model: str = ""
    version: str = ""
    options: tuple[tuple[str, str], ...] = ()

    @property
    def server(self) -> str:
        """URL of the server alone."""
        return self._place + self._query

    def __str__(self) -> str:
        path = "".join(f"/{quote(part, safe='')}" for part in (self.model, self.version) if part)
        return self._place + (unquote(path) if self.scheme == "local" else path) + self._query

    @property
    def _place(self) -> str:
        return f"{self.scheme}:{'//' if self.scheme in _DEFAULT_PORT else ''}{self.where}"

    @property
    def _query(self) -> str:
        return f"?{urlencode(self.options, safe='/')}" if self.options else ""


def parse_server(url: str) -> Address:
    """Read the URL of a server, e.g. ``grpc://localhost:8001`` or ``local:/folder/of/models``.

    Raises
    ------
    ConfigError
        If it is none, or names a model.
    """
    if url.startswith("local:"):
        return Address("local", _folder(url, _SERVERS))
    address = _parse_remote(url, _SERVERS)
    if address.model:
        raise ConfigError(f"{url} names a model: the URL of a server ends with its port")
    return address


def parse_model(url: str) -> Address:
    """Read the URL of a model on a server, in one of :data:`FORMS`.

    Raises
    ------
    ConfigError
        If it is none.
    """
    if not url.startswith("local:"):
        address = _parse_remote(url, FORMS)
        if not address.model:
            raise ConfigError(f"{url} names no model: {_expected(FORMS)}")
        return address
    folder, mark, options = _folder(url, FORMS).partition("?")
    path = PurePath(folder)
    version = ""
    if path.name.isdecimal() and len(path.parts) > 2:
        path, version = path.parent, path.name
    if not path.name or path.name == "..":
        raise ConfigError(f"{url} names no model: {_expected(FORMS)}")
    return Address("local", f"{path.parent}{mark}{options}", path.name, version)


def connect(address: Address) -> Transport:
    """Make the transport to a server; nothing is sent yet.

    Raises
    ------
    ConfigError
        If no installed package has a transport of that scheme.
    """
    for entry in entry_points(group="sonic.transports", name=address.scheme):
        transport: Transport = entry.load()(address.where, **dict(address.options))
        return transport
    raise ConfigError(
        f"no transport for {address.server}: entry point {address.scheme!r} of sonic.transports is missing"
    )


def _parse_remote(url: str, forms: Sequence[str]) -> Address:
    match = _REMOTE.fullmatch(url) or _UNIX.fullmatch(url)
    if match is None:
        raise ConfigError(f"{url!r} is not a URL of a server: {_expected(forms)}")
    scheme = match["scheme"].lower()
    place = match["where"] if scheme not in _DEFAULT_PORT else _host_and_port(url, scheme, match["where"], forms)
    options = tuple(parse_qsl(match["query"] or "", keep_blank_values=True))
    for name, value in options:
        if name not in OPTIONS or not value:
            raise ConfigError(f"{url} has option {name}={value}, expected a value for {', '.join(OPTIONS)}")
        if name == "compression" and value not in COMPRESSIONS:
            raise ConfigError(f"{url} has compression {value}, expected {' or '.join(COMPRESSIONS)}")
    parts = [unquote(part) for part in (match["path"] or "").strip("/").split("/") if part]
    if len(parts) > 2:
        raise ConfigError(f"{url} has more than a model and a version behind the port: {_expected(forms)}")
    model, version = (*parts, "", "")[:2]
    return Address(scheme, place, model, version, options)


def _host_and_port(url: str, scheme: str, text: str, forms: Sequence[str]) -> str:
    where = _WHERE.fullmatch(text)
    if where is None:
        raise ConfigError(f"{url!r} is not a URL of a server: {_expected(forms)}")
    port = int(where["port"] or _DEFAULT_PORT[scheme])
    if not 0 < port < 65536:
        raise ConfigError(f"{url} has port {port}, expected 1 to 65535")
    return f"{where['host']}:{port}"


def _folder(url: str, forms: Sequence[str]) -> str:
    folder = url.removeprefix("local:")
    if not folder:
        raise ConfigError(f"{url} names no folder: {_expected(forms)}")
    return folder


def _expected(forms: Sequence[str]) -> str:
    return f"expected {' or '.join(forms)}"
