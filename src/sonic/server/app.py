"""A whole server: repository, dataplane, ports, and its end."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from sonic.errors import ConfigError
from sonic.protocol.rawfields import MAX_BYTES
from sonic.server.backends.completion import DEFAULT_MAX_BATCH
from sonic.server.dataplane import Dataplane
from sonic.server.eventloop import EventLoop
from sonic.server.grpc.front import GrpcFront
from sonic.server.http.front import HttpFront
from sonic.server.models.cache import DEFAULT_CACHE_BYTES
from sonic.server.models.polling import Poller
from sonic.server.models.repository import Repository
from sonic.server.scheduling.queueing import DEFAULT_MAX_QUEUE
from sonic.server.sharedmemory import SharedMemory
from sonic.server.sockets import authority, listen, listen_unix
from sonic.server.tracing import Tracer

if TYPE_CHECKING:
    import os
    import socket
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType
    from typing import Any, Self

    from sonic.server.access.guard import Guard
    from sonic.server.access.tls import Tls
    from sonic.server.logsettings import LogSettings

log = logging.getLogger("sonic.server")

_FLUSH_S = 2.0
"""What the fronts get to send the last responses, in seconds, after every request has ended."""


class Server:
    """Serves models in folders, and functions, over gRPC and HTTP, from this process.

    It is a context manager, which closes it at the end.

    It takes requests when the constructor returns::

        with sonic.serve("models/") as server:
            tagger = sonic.Model(f"{server.grpc_url}/particlenet")

    Attributes
    ----------
    grpc_port, http_port, metrics_port : int
        0 for one that is not offered.
    dataplane : Dataplane
    repository : Repository

    Parameters
    ----------
    *models_of : path, str or function
        Folders in Triton's layout (``name/1/model.onnx``, ``name/config.pbtxt``); read-only ones are fine.
        Functions with :func:`sonic.service`; or what names them: ``path/to/file.py``, ``path/to/file.py:function``,
        ``package.module:function``.
    grpc_port, http_port, metrics_port : int or None
        0: any free one. None: not offered.
    host : str
        ``"0.0.0.0"`` to be reached from other machines.
    grpc_host, metrics_host : str or None
        Another host for one of the ports; None: the same.
    cores : int or None
        Cores that the instances of one model may keep busy: instances x intra-op threads never exceeds it.
        None: all that the process may use.
    models : sequence of str
        Names of the models to serve; empty: all. If `explicit`, those to load at the start: ``"*"`` is all.
    strict : bool
        Whether a model that cannot be loaded is an error; otherwise the others are served, the index says why that
        one is missing, and the server does not call itself ready.
    strict_readiness : bool
        Whether a model that could not be loaded keeps the server from calling itself ready.
    explicit : bool
        Whether clients load and unload models.
    poll_s : float or None
        How often to look for models that are new, changed or gone, in seconds; None: never.
    empty_ok : bool
        Whether a repository may hold no model yet; where it is polled, it always may.
    default_max_batch : int
        Largest batch of a model that can batch and has no config.pbtxt.
    max_queue : int
        Requests that may wait for a model whose config.pbtxt sets no ``max_queue_size``; further ones are refused as
        unavailable. 0: no bound.
    max_queue_bytes : int or None
        What the requests that wait may hold, for all models together; further ones are refused as unavailable. 0: no
        bound. None: a quarter of the memory that the process may use, by its control group too.
    cache_bytes : int
        Room for the results of models whose config.pbtxt says ``response_cache { enable: true }``; 0: none are kept.
    name : str
        What the server calls itself to clients.
    allow_client_shm : bool or None
        Who may register shared memory: True all clients, False none, None those on this host.
    trace_file : path or None
        Where requests are traced, as clients ask for it; None: nowhere.
    trace_settings : mapping of str to str or None
        What is traced from the start, in settings of the protocol's trace extension; None: nothing.
    logs : LogSettings or None
        What is logged, for clients to change; None: as the logger ``sonic`` is set.
    grpc_socket, http_socket : path or None
        Unix domain sockets that end in ``.sock``, beside the ports.
    max_message_bytes : int
        Largest request; protobuf allows no more than 2 GiB.
    tls : Tls or None
        Encrypts what goes through the ports of gRPC and HTTP.
    grpc_tls : Tls or None
        Another for gRPC; None: the same.
    guard : Guard or None
        Which clients are let in, and how often; health and the port of the metrics are for everyone. None: all, always.
    busy_poll_us : float
        For how many microseconds to look for the next request before sleeping, if the last ones came as soon after
        each other: for a process that does nothing but serve. 0: not at all.

    Raises
    ------
    ConfigError
        If a folder or a model is missing or makes no sense, or a port is taken.
    """

    def __init__(
        self,
        *models_of: str | os.PathLike[str] | Callable[..., Any],
        grpc_port: int | None = 0,
        http_port: int | None = 0,
        metrics_port: int | None = 0,
        host: str = "127.0.0.1",
        grpc_host: str | None = None,
        metrics_host: str | None = None,
        cores: int | None = None,
        models: Sequence[str] = (),
        strict: bool = True,
        strict_readiness: bool = True,
        explicit: bool = False,
        poll_s: float | None = None,
        empty_ok: bool = False,
        default_max_batch: int = DEFAULT_MAX_BATCH,
        max_queue: int = DEFAULT_MAX_QUEUE,
        max_queue_bytes: int | None = None,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
        name: str = "sonic",
        allow_client_shm: bool | None = None,
        trace_file: str | os.PathLike[str] | None = None,
        trace_settings: Mapping[str, str] | None = None,
        logs: LogSettings | None = None,
        grpc_socket: str | os.PathLike[str] | None = None,
        http_socket: str | os.PathLike[str] | None = None,
        max_message_bytes: int = MAX_BYTES,
        tls: Tls | None = None,
        grpc_tls: Tls | None = None,
        guard: Guard | None = None,
        busy_poll_us: float = 0,
    ) -> None:
        if busy_poll_us < 0:
            raise ConfigError(f"--busy-poll-us is at least 0, given {busy_poll_us:g}")
        if not 0 < max_message_bytes <= MAX_BYTES:
            raise ConfigError(f"--max-message-bytes is from 1 to {MAX_BYTES}, given {max_message_bytes}")
        if explicit and poll_s is not None:
            raise ConfigError("models are loaded by clients or by polling the repository, not both")
        self._hosts = {"grpc": grpc_host or host, "http": host, "metrics": metrics_host or host}
        self._closing = threading.Lock()
        self._closed = False
        self._tls, self._grpc_tls = tls, grpc_tls or tls
        with ExitStack() as undo:  # for what fails before there is a server that could be closed
            self.repository = Repository(
                models_of,
                cores=cores,
                only=() if explicit else models,
                default_max_batch=default_max_batch,
                max_queue=max_queue,
                max_queue_bytes=max_queue_bytes,
                cache_bytes=cache_bytes,
            )
            undo.callback(self.repository.close)
            traces = Tracer(trace_file, trace_settings)
            self._poller = None if poll_s is None else Poller(self.repository, poll_s)
            # Ports first: that one is taken should not be learnt after minutes of loading.
            claimed: dict[str, socket.socket] = {}
            for front, port in (("grpc", grpc_port), ("http", http_port), ("metrics", metrics_port)):
                if port is not None:
                    claimed[front] = undo.enter_context(listen(self._hosts[front], port, f"--{front}-port"))
            self.grpc_port, self.http_port, self.metrics_port = (
                claimed[front].getsockname()[1] if front in claimed else 0 for front in ("grpc", "http", "metrics")
            )
            for front, path in (("grpc", grpc_socket), ("http", http_socket)):
                if path is not None:
                    unix = claimed[f"{front} unix"] = undo.enter_context(listen_unix(path, f"--{front}-socket"))
                    undo.callback(Path(unix.getsockname()).unlink, missing_ok=True)
            self._loop = EventLoop(busy_poll_s=1e-6 * busy_poll_us)  # of the connections of both fronts
            undo.callback(self._loop.close)
            self._grpc = GrpcFront(
                self._loop,
                claimed.get("grpc"),
                unix=claimed.get("grpc unix"),
                max_message_bytes=max_message_bytes,
                tls=self._grpc_tls,
                guard=guard,
            )
            self._http = HttpFront(
                self._loop,
                claimed.get("http"),
                unix=claimed.get("http unix"),
                metrics=claimed.get("metrics"),
                max_message_bytes=max_message_bytes,
                tls=tls,
                guard=guard,
            )
            self.dataplane = Dataplane(
                self.repository,
                explicit=explicit,
                strict_readiness=strict_readiness,
                name=name,
                memory=SharedMemory(allow_client_shm),
                logs=logs,
                traces=traces,
            )
            undo.pop_all()
        try:
            if not explicit or models:
                named = () if not explicit or "*" in models else models
                self.repository.load_all(named, strict=strict, empty_ok=empty_ok or poll_s is not None)
            if self._poller is not None:
                self._poller.start()
            self._http.start(self.dataplane)
            self._grpc.start(self.dataplane)
        except BaseException:
            self.close(drain_s=0.0)
            raise

    @property
    def grpc_url(self) -> str:
        """Where it speaks gRPC, e.g. ``"grpc://127.0.0.1:8001"``."""
        return f"grpc{'s' if self._grpc_tls else ''}://{authority(self._hosts['grpc'], self.grpc_port)}"

    @property
    def http_url(self) -> str:
        """Where it speaks HTTP, e.g. ``"http://127.0.0.1:8000"``."""
        return f"http{'s' if self._tls else ''}://{authority(self._hosts['http'], self.http_port)}"

    @property
    def metrics_url(self) -> str:
        """Where Prometheus finds the metrics, e.g. ``"http://127.0.0.1:8002/metrics"``."""
        return f"http://{authority(self._hosts['metrics'], self.metrics_port)}/metrics"

    def retire(self) -> None:
        """Report itself as not ready, and go on taking requests: for proxies to learn that it will soon be gone."""
        self.dataplane.retire()
        log.warning("not ready from now on; requests are still taken")

    def close(self, drain_s: float = 10.0) -> bool:
        """Take no more requests, wait for those in hand, and release ports and models. Harmless when repeated.

        Parameters
        ----------
        drain_s : float
            How long to wait for requests, and for a model that is being loaded or unloaded; requests that have not
            ended by then end in Unavailable.

        Returns
        -------
        bool
            Whether all of it ended by itself.
        """
        with self._closing:
            if self._closed:
                return True
            self._closed = True
            if self._poller is not None:
                self._poller.stop()
            drained = self.dataplane.drain(drain_s)
            if not drained:
                log.warning("not all requests, or what loads models, ended within %g s", drain_s)
                self.dataplane.close()
            start_s = time.monotonic()
            self._grpc.stop(_FLUSH_S)
            self._http.stop(max(0.0, _FLUSH_S - (time.monotonic() - start_s)))
            self._loop.close()
            self.dataplane.close()
            return drained

    def __repr__(self) -> str:
        urls = [url for port, url in ((self.grpc_port, self.grpc_url), (self.http_port, self.http_url)) if port]
        return f"<Server {'closed' if self._closed else ', '.join(urls) or 'without a port'}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


serve = Server
"""As a person says it: ``with sonic.serve("models/") as server:``."""
