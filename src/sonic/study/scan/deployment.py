"""Where a point's requests go: a server of the scan's own or somebody's, and the network before it."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

from sonic.client.fallback import ServeProcess
from sonic.client.url import parse_server
from sonic.study.conditions import Relay
from sonic.study.conditions.netem import namespace
from sonic.study.scan import models
from sonic.study.scan.folder import folder
from sonic.study.scan.settings import conditions_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sonic.study.records import Setting
    from sonic.study.scan.spec import Point

_DRAIN_S = 5.0
_LOCALHOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Place:
    """A way to what is measured.

    Parameters
    ----------
    url : str
        Of the server, its network and compression included.
    metrics : str
        URL of its metrics; empty where the load generator has to look for them.
    names : tuple of str
        Of the model's copies, itself first.
    pid : int or None
        The server's process, where the scan started it.
    direct : str
        URL of the server itself, where a relay is before it; else empty.
    """

    url: str
    metrics: str = ""
    names: tuple[str, ...] = ()
    pid: int | None = None
    direct: str = ""


class Deployment(Protocol):
    """A server that stays for some points. Context manager."""

    def __enter__(self) -> Self:
        """Start it, if it is one's own.

        Raises
        ------
        SonicError
            If it does not come up.
        """

    def __exit__(self, *_: object) -> None:
        """End it."""

    def place(self, point: Point) -> AbstractContextManager[Place]:
        """Return a context manager of the :class:`Place` that a point is measured at: its network lasts as long."""

    def obituary(self) -> str:
        """Say what became of the server and how its log ends; nothing as long as it lives, or if it is another's."""


class Elsewhere:
    """A server that somebody runs.

    Parameters
    ----------
    url : str
    metrics : str
        URL of its metrics; empty where the load generator has to look for them.

    Raises
    ------
    ConfigError
        If it is none.
    """

    def __init__(self, url: str, metrics: str = "") -> None:
        self._address = parse_server(url)
        self._metrics = metrics

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    @contextmanager
    def place(self, point: Point) -> Iterator[Place]:
        """Put a network before it; see :class:`Deployment`."""
        where, url, direct = self._address.where, self._address.server, ""
        with ExitStack() as stack:
            if not conditions_of(point.settings).plain:
                direct = url
                url = url.replace(where, _relayed(stack, where, point.settings))
            yield Place(_compressed(url, point.settings), self._metrics, (point.target,), direct=direct)

    def obituary(self) -> str:
        """Say nothing; see :class:`Deployment`."""
        return ""


class OwnServer:
    """``sonic serve`` as a child process, with the models that a point wants.

    Parameters
    ----------
    point : Point
        The first of those that it is for.
    base : Path
        Of relative paths in settings.
    """

    def __init__(self, point: Point, base: Path) -> None:
        self._point = point
        self._base = base
        self._stack = ExitStack()
        self._server: ServeProcess | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._folder = stack.enter_context(folder())
            (self._folder / "models").mkdir()
            settings = self._point.settings
            self._names = models.build(self._folder / "models", self._point.target, settings, self._base)
            self._host = _LOCALHOST
            if settings.get("protocol") != "local":
                self._start(stack)
            self._stack = stack.pop_all()
        return self

    def _start(self, stack: ExitStack) -> None:
        settings = self._point.settings
        options: list[str] = []
        for kind in ("grpc", "http"):
            options += [f"--{kind}-socket", str(self._folder / f"{kind}.sock")]
        prefix: tuple[str, ...] = ()
        if settings.get("conditions") == "netem":
            behind = stack.enter_context(namespace(conditions_of(settings)))
            prefix, self._host = behind.prefix, behind.host
            options += ["--host", behind.host]
        cores = settings.get("cores")
        self._server = ServeProcess(
            [self._folder / "models"], cores=None if cores is None else int(cores), options=options, prefix=prefix
        )
        stack.callback(self._server.close, _DRAIN_S)

    def __exit__(self, *_: object) -> None:
        self._server = None
        self._stack.close()

    @contextmanager
    def place(self, point: Point) -> Iterator[Place]:
        """Put a network before it; see :class:`Deployment`."""
        settings = point.settings
        protocol = str(settings.get("protocol", "grpc"))
        if protocol == "local":
            yield Place(f"local:{self._folder / 'models'}", names=self._names)
            return
        if self._server is None:  # the first of its points was local
            self._start(self._stack)
        server = self._server
        assert server is not None  # noqa: S101 - just started
        metrics, direct = server.metrics_url.replace(_LOCALHOST, self._host), ""
        with ExitStack() as stack:
            if protocol.endswith("+unix"):
                url = f"{protocol}:{self._folder / protocol.removesuffix('+unix')}.sock"
            else:
                url = (server.grpc_url if protocol == "grpc" else server.http_url).replace(_LOCALHOST, self._host)
                if settings.get("conditions", "relay") == "relay" and not conditions_of(settings).plain:
                    where, direct = url.partition("://")[2], url
                    url = url.replace(where, _relayed(stack, where, settings))
            yield Place(_compressed(url, settings), metrics, self._names, server.pid, direct)

    def obituary(self) -> str:
        """Say how it ended; see :class:`Deployment`."""
        if self._server is None or self._server.process.status is None:
            return ""
        return self._server.process.text(self._server.process.ended())


def _relayed(stack: ExitStack, where: str, settings: Mapping[str, Setting]) -> str:
    host, _, port = where.rpartition(":")
    return stack.enter_context(Relay(host.strip("[]"), int(port), conditions_of(settings))).address


def _compressed(url: str, settings: Mapping[str, Setting]) -> str:
    compression = settings.get("compression", "none")
    if compression == "none" or "compression=" in url:
        return url
    return f"{url}{'&' if '?' in url else '?'}compression={compression}"
