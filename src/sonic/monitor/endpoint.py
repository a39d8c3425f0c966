"""Where a server's metrics are, and getting them."""

from __future__ import annotations

import re
import ssl
from typing import TYPE_CHECKING, Self

import httpx

from sonic.errors import ConfigError, DataError, Unavailable
from sonic.monitor.rates import read

if TYPE_CHECKING:
    from pathlib import Path

    from sonic.monitor.rates import Scrape

_URL = re.compile(
    r"(?:(?:triton\+)?(?P<scheme>grpc|https?)://)?(?P<host>[\w.-]+|\[[0-9a-fA-F:.]+\])(?::(?P<port>\d+))?(?P<path>/.*)?",
    re.IGNORECASE,
)
_METRICS_PORT = 8002


def candidates(url: str) -> tuple[str, ...]:
    """Return where the metrics of a server may be, the likeliest first.

    ``http://host:8002/metrics`` is taken as it is. Of a host and a port the port may be that of the metrics, of HTTP or
    of gRPC, which by habit are next to each other (8002, 8000, 8001).

    Raises
    ------
    ConfigError
        If it is no URL.
    """
    match = _URL.fullmatch(url.strip())
    port = int(match["port"] or _METRICS_PORT) if match else 0
    if match is None or not 0 < port < 65536:
        raise ConfigError(f"expected a URL like http://host:8002/metrics, or host:port, given {url!r}")
    given = (match["scheme"] or "http").lower()
    scheme = "http" if given == "grpc" else given
    if (match["path"] or "/") != "/" and given != "grpc":
        return (f"{scheme}://{match['host']}:{port}{match['path']}",)
    ports = [port + 1, _METRICS_PORT] if given == "grpc" else [port, port + 2, port + 1, _METRICS_PORT]
    return tuple(f"{scheme}://{match['host']}:{each}/metrics" for each in dict.fromkeys(ports) if each < 65536)


class Endpoint:
    """The metrics of one server. Context manager.

    Parameters
    ----------
    url : str
        See :func:`candidates`.
    timeout_s : float
        How long an answer may take.
    token : str or None
        Bearer token for a server that wants one. It goes to the host and port of `url` alone.
    ca : Path or None
        Authorities that the server's certificate may come from, in PEM; None: those of the system.
    transport : httpx.BaseTransport, optional
        For tests.

    Attributes
    ----------
    url : str
        Where the metrics are, once they have been found.

    Raises
    ------
    ConfigError
        If it is no URL, or the authorities or the token cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 5.0,
        token: str | None = None,
        ca: Path | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._candidates = candidates(url)
        if token is not None and not (token.isascii() and token.isprintable() and token and " " not in token):
            raise ConfigError("the token is not one word of ASCII")
        self._token = token
        self._client = httpx.Client(
            timeout=timeout_s, transport=transport, follow_redirects=True, verify=_trusted(ca) if ca else True
        )
        self._found = False
        self.url = self._candidates[0]

    def scrape(self) -> Scrape:
        """Get the metrics as of now.

        Raises
        ------
        Unavailable
            If there is no answer; it may come the next time.
        DataError
            If what answers is something else.
        """
        if self._found:
            return self._get(self.url)
        first: DataError | Unavailable | None = None
        for url in self._candidates:
            try:
                found = self._get(url)
            except (DataError, Unavailable) as error:
                first = first or error
                continue
            self.url, self._found = url, True
            return found
        assert first is not None  # noqa: S101 - there is a candidate, and it failed
        more = f" (nor at {', '.join(self._candidates[1:])})" if len(self._candidates) > 1 else ""
        raise type(first)(f"{first}{more}")

    def close(self) -> None:
        """Release the connection."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _get(self, url: str) -> Scrape:
        try:
            answer = self._client.get(url, headers=self._headers(url))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unavailable(f"no answer from {url}: {str(error) or type(error).__name__}") from error
        if answer.status_code == 401:
            raise Unavailable(f"no metrics at {url}: it wants a token" + (", and not this one" if self._token else ""))
        if answer.status_code != 200:
            raise Unavailable(f"no metrics at {url}: it answers with status {answer.status_code}")
        try:
            return read(answer.text)
        except DataError as error:
            raise DataError(f"{url}: {error}") from error

    def _headers(self, url: str) -> dict[str, str]:
        given = httpx.URL(self._candidates[0]).netloc == httpx.URL(url).netloc
        return {"Authorization": f"Bearer {self._token}"} if self._token and given else {}


def _trusted(ca: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:  # ssl.SSLError is one too
        raise ConfigError(f"cannot use the authorities in {ca}: {error.strerror or error}") from error
