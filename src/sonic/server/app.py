"""A whole server: repository, dataplane, ports, and its end."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from sonic.server.completion import DEFAULT_MAX_BATCH
from sonic.server.dataplane import Dataplane
from sonic.server.grpc_front import GrpcFront
from sonic.server.http_front import HttpFront
from sonic.server.repository import Repository
from sonic.server.sockets import authority, listen

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

log = logging.getLogger("sonic.server")

_FLUSH_S = 2.0
"""What the fronts get to send the last responses, in seconds, after every request has ended."""


class Server:
    """A server of models, on ports of this process. Context manager: it closes at the end.

    It takes requests when the constructor returns. :func:`serve` says what the parameters mean.

    Attributes
    ----------
    grpc_port, http_port, metrics_port : int
    dataplane : Dataplane
    repository : Repository
    """

    def __init__(
        self,
        repositories: Sequence[str | os.PathLike[str]],
        *,
        grpc_port: int = 0,
        http_port: int = 0,
        metrics_port: int = 0,
        host: str = "127.0.0.1",
        cores: int | None = None,
        models: Sequence[str] = (),
        strict: bool = True,
        explicit: bool = False,
        default_max_batch: int = DEFAULT_MAX_BATCH,
        threads: int = 256,
    ) -> None:
        self._host = host
        self._closing = threading.Lock()
        self._closed = False
        # Ports first: that one is taken should not be learnt after minutes of loading.
        self.repository = Repository(repositories, cores=cores, only=models, default_max_batch=default_max_batch)
        http = listen(host, http_port, "--http-port")
        try:
            metrics = listen(host, metrics_port, "--metrics-port")
        except BaseException:
            http.close()
            raise
        self._http = HttpFront((http, metrics))
        self.http_port: int = http.getsockname()[1]
        self.metrics_port: int = metrics.getsockname()[1]
        try:
            self._grpc = GrpcFront(host, grpc_port, threads=threads)
        except BaseException:
            self._http.stop(0.0)
            raise
        self.grpc_port: int = self._grpc.port
        self.dataplane = Dataplane(self.repository, explicit=explicit)
        try:
            if not explicit or models:
                self.repository.load_all(strict=strict)
            self._http.start(self.dataplane)
            self._grpc.start(self.dataplane)
        except BaseException:
            self.close(drain_s=0.0)
            raise

    @property
    def grpc_url(self) -> str:
        """Where it speaks gRPC, e.g. ``"grpc://127.0.0.1:8001"``."""
        return f"grpc://{authority(self._host, self.grpc_port)}"

    @property
    def http_url(self) -> str:
        """Where it speaks HTTP, e.g. ``"http://127.0.0.1:8000"``."""
        return f"http://{authority(self._host, self.http_port)}"

    @property
    def metrics_url(self) -> str:
        """Where Prometheus finds the metrics, e.g. ``"http://127.0.0.1:8002/metrics"``."""
        return f"http://{authority(self._host, self.metrics_port)}/metrics"

    def close(self, drain_s: float = 10.0) -> bool:
        """Take no more requests, wait for those in hand, and release ports and models. Harmless when repeated.

        Parameters
        ----------
        drain_s : float
            How long to wait for requests; those that have not ended by then end in Unavailable.

        Returns
        -------
        bool
            Whether all of them ended by themselves.
        """
        with self._closing:
            if self._closed:
                return True
            self._closed = True
            drained = self.dataplane.drain(drain_s)
            if not drained:
                log.warning("not all requests ended within %g s", drain_s)
                self.dataplane.close()
            start_s = time.monotonic()
            self._grpc.stop(_FLUSH_S)
            self._http.stop(max(0.0, _FLUSH_S - (time.monotonic() - start_s)))
            self.dataplane.close()
            return drained

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def serve(
    *repositories: str | os.PathLike[str],
    grpc_port: int = 0,
    http_port: int = 0,
    metrics_port: int = 0,
    host: str = "127.0.0.1",
    cores: int | None = None,
    models: Sequence[str] = (),
    strict: bool = True,
    explicit: bool = False,
    default_max_batch: int = DEFAULT_MAX_BATCH,
    threads: int = 256,
) -> Server:
    """Serve the models in folders, over gRPC and HTTP, from this process.

    ::

        with sonic.serve("models/") as server:
            tagger = sonic.Model(f"{server.grpc_url}/particlenet")

    Parameters
    ----------
    *repositories : path
        Folders in Triton's layout (``name/1/model.onnx``, ``name/config.pbtxt``); read-only ones are fine.
    grpc_port, http_port, metrics_port : int
        0: any free one.
    host : str
        ``"0.0.0.0"`` to be reached from other machines.
    cores : int or None
        Cores that the instances of one model may keep busy: instances x intra-op threads never exceeds it.
        None: all that the process may use.
    models : sequence of str
        Names of the models to serve; empty: all.
    strict : bool
        Whether a model that cannot be loaded is an error; otherwise the others are served, the index says why that
        one is missing, and the server does not call itself ready.
    explicit : bool
        Whether clients load and unload models. Then only those in `models` are loaded at the start.
    default_max_batch : int
        Largest batch of a model that can batch and has no config.pbtxt.
    threads : int
        gRPC requests that can be in hand at the same time.

    Returns
    -------
    Server
        Already taking requests.

    Raises
    ------
    ConfigError
        If a folder or a model is missing or makes no sense, or a port is taken.
    """
    return Server(
        repositories,
        grpc_port=grpc_port,
        http_port=http_port,
        metrics_port=metrics_port,
        host=host,
        cores=cores,
        models=models,
        strict=strict,
        explicit=explicit,
        default_max_batch=default_max_batch,
        threads=threads,
    )
