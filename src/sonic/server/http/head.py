"""The head of a request, and how long its body is.

llhttp reads it, through httptools: strictly, since what two readers of a head take differently lets one request hide
in another. Pure. Specification: RFC 9110 and 9112.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import httptools

from sonic.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

END = b"\r\n\r\n"


class BadMessage(InvalidRequest):
    """Bytes that are no request, or one that is not taken. What follows on its connection cannot be read.

    Attributes
    ----------
    status : int
        Of the answer.
    """

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


class Head:
    """The head of a request.

    Attributes
    ----------
    raw : bytes
        As it came, with the empty line.
    method, path, http_version : str
        `path` with its escapes, which a name in it may have: undone before it is split, one would be more than one part
        of the path, and no rule of a proxy for paths would hold.
    target, query : bytes
        As they came.
    headers : tuple of (bytes, bytes)
        In order, names in lower case.
    length : int
        Bytes of the body; 0 if it comes in chunks.
    chunked : bool
    expects_continue : bool
        Whether the client waits to be told before it sends the body.
    keep_alive : bool
        Whether the connection can serve another request.
    """

    __slots__ = (
        "_fields",
        "chunked",
        "expects_continue",
        "headers",
        "http_version",
        "keep_alive",
        "length",
        "method",
        "path",
        "query",
        "raw",
        "target",
    )

    def __init__(
        self,
        raw: bytes,
        method: str,
        target: bytes,
        http_version: str,
        headers: tuple[tuple[bytes, bytes], ...],
        *,
        keep_alive: bool,
    ) -> None:
        self.raw = raw
        self.method = method
        self.http_version = http_version
        self.headers = headers
        self.keep_alive = keep_alive
        self.target, self.path, self.query = _split(target)
        self._fields: dict[bytes, bytes] = {}
        for name, value in headers:
            self._fields[name] = self._fields[name] + b", " + value if name in self._fields else value
        self.length, self.chunked = self._framing()
        expected = self.get(b"expect").lower()
        if expected not in ("", "100-continue"):
            raise BadMessage(f"Expect is 100-continue, given {expected!r}", 417)
        self.expects_continue = expected != "" and http_version != "1.0" and (self.chunked or self.length > 0)

    def get(self, name: bytes, default: str = "") -> str:
        """Return a header by its name in lower case; several of that name are joined with commas."""
        value = self._fields.get(name)
        return default if value is None else value.decode("latin-1")

    def _framing(self) -> tuple[int, bool]:
        length = self._fields.get(b"content-length")
        coding = self._fields.get(b"transfer-encoding")
        if coding is not None:
            if length is not None or self.http_version == "1.0" or coding.lower() != b"chunked":
                text = self.get(b"transfer-encoding")
                raise BadMessage(f"Transfer-Encoding is chunked, alone and in HTTP/1.1, given {text!r}")
            return 0, True
        if length is not None and not (length.isdigit() and len(length) < 20):
            raise BadMessage(f"Content-Length is one whole number, given {self.get(b'content-length')!r}")
        return int(length or 0), False


def read_head(raw: bytes) -> Head:
    """Read the head of a request.

    Parameters
    ----------
    raw : bytes
        With the empty line that ends it, and nothing after it.

    Raises
    ------
    BadMessage
    """
    reader = _Reader()
    parser = httptools.HttpRequestParser(reader)
    try:
        parser.feed_data(raw)
    except httptools.HttpParserUpgrade:
        pass  # to another protocol, which a server need not do; the head has been read by then
    except httptools.HttpParserError as error:
        raise BadMessage(f"this is no HTTP request: {error}") from None
    if not reader.alone:
        raise BadMessage("this is no HTTP request: its head does not end where its empty line is")
    version = parser.get_http_version()
    if version not in ("1.0", "1.1"):
        raise BadMessage(f"HTTP/1.0 and 1.1 are spoken here, given {version}", 505)
    return Head(
        raw,
        parser.get_method().decode(),
        reader.target,
        version,
        tuple(reader.headers),
        keep_alive=_keeps(version, reader.headers),
    )


class _Reader:
    """What llhttp finds."""

    def __init__(self) -> None:
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self._begun = 0
        self._complete = False
        self._more = False

    @property
    def alone(self) -> bool:
        return self._complete and self._begun == 1 and not self._more

    def on_message_begin(self) -> None:
        self._begun += 1

    def on_url(self, target: bytes) -> None:
        self.target += target

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value.strip()))

    def on_headers_complete(self) -> None:
        self._complete = True

    def on_body(self, _: bytes) -> None:
        self._more = True


def _keeps(version: str, headers: list[tuple[bytes, bytes]]) -> bool:
    options = set(_options(headers))
    return b"close" not in options and (version != "1.0" or b"keep-alive" in options)


def _options(headers: list[tuple[bytes, bytes]]) -> Iterator[bytes]:
    for name, value in headers:
        if name == b"connection":
            yield from (option.strip().lower() for option in value.split(b","))


def _split(target: bytes) -> tuple[bytes, str, bytes]:
    path, _, query = target.partition(b"?")
    if not path.startswith(b"/") and path != b"*":
        try:
            path = httptools.parse_url(target).path or b"/"  # of a whole URL, as proxies are sent
        except httptools.HttpParserInvalidURLError as error:
            raise BadMessage(f"the target {target[:80]!r} of the request is no path: {error}") from None
    return path, path.decode("latin-1"), query
