"""The faces for people: a model that is called, and the servers that several models share."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self
from weakref import WeakSet

from sonic.client.calls import Calls
from sonic.client.checked import CheckedTransport
from sonic.client.deadline import LONGEST_S
from sonic.client.fallback import Fallback, Spare
from sonic.client.identity import LocalCopy
from sonic.client.router import Router
from sonic.client.settings import ClientSettings, load
from sonic.client.shared import once
from sonic.client.sharedmemory import share
from sonic.client.url import connect, parse_model, parse_server
from sonic.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    import numpy as np
    from numpy.typing import ArrayLike

    from sonic.client.pool import ServerState
    from sonic.client.transport import Transport
    from sonic.protocol.messages import ModelStatistics
    from sonic.specs import ModelSpec

    Spares = Fallback | str | os.PathLike[str] | Literal[False] | None


class Client:
    """Several servers and a fallback, shared by many models. Thread-safe; a context manager; can be pickled.

    Copies that are unpickled in one process are one client. A process that is forked makes its own connections when it
    first sends something.

    A request goes to the server where it is expected to be done first. If that cannot take it, or gives no sign of
    life, it goes elsewhere as the settings say, within the same deadline: by default to each other server once, then
    to the best of them after a pause, twice, and then to the fallback.

    Large tensors go through shared memory to a server on the same host, where it lets them.

    Parameters
    ----------
    urls : sequence of str
        Of servers: ``grpc://host:port``, ``http://host:port``, ``local:/folder/of/models``. Without any, those of the
        settings, and the balancer that the site announces.
    fallback : path-like, Fallback or False, optional
        A folder of models, served in this process from the first time it is needed; a :class:`Fallback` says more. By
        default that of the settings; False: none.
    timeout_s : float, optional
        Time that a call may take in all, in seconds; None is no limit.
    settings : ClientSettings or path-like, optional
        What to do when a server does not answer as it should, or a TOML file that says so in its table ``[sonic]``.
        Else it comes from the environment; see :func:`sonic.client.settings.load`.
    reference : path-like, optional
        A folder with copies of the models, or of their config.pbtxt alone; by default the fallback's. A server is used
        for a model only if it has the same one: same inputs and outputs, and the same digests of those files whose
        digests the server gives. Else the others are used, and at the end there is a
        :class:`~sonic.errors.WrongModel`.
    transports : sequence of Transport, optional
        More servers, already made: for tests.

    Raises
    ------
    ConfigError
        If a URL is none, a server is there twice, or there is neither a server nor a fallback.
    """

    def __init__(
        self,
        urls: Sequence[str] = (),
        *,
        fallback: Spares = None,
        timeout_s: float | None = None,
        settings: ClientSettings | str | os.PathLike[str] | None = None,
        reference: str | os.PathLike[str] | None = None,
        transports: Sequence[Transport] | None = None,
    ) -> None:
        if isinstance(urls, str):
            raise ConfigError(f"urls is a sequence of URLs, given the one text {urls!r}")
        if timeout_s is not None and not 0 < timeout_s < LONGEST_S:
            raise ConfigError(f"timeout_s is above 0, below {LONGEST_S:g}, or None for no limit; given {timeout_s}")
        self.settings = settings if isinstance(settings, ClientSettings) else load(settings)
        urls = urls or (() if transports else self.settings.servers)
        fallback = self.settings.fallback if fallback is None else fallback
        spare: Fallback | Literal[False] = Fallback.of(fallback) if fallback else False
        if not urls and not transports and not spare:
            raise ConfigError("a client needs a server or a fallback")
        self._arguments = (tuple(urls), spare, timeout_s, self.settings, reference)
        self._users: dict[str, WeakSet[Model]] = {}
        self._injected = tuple(transports or ())
        self.timeout_s = timeout_s
        self._closed = False
        self._copies: dict[tuple[str, str, tuple[str, ...], int], Model] = {}
        self._made = os.getpid(), self._connect()

    def _connect(self) -> Router:
        urls, fallback, _, settings, reference = self._arguments
        addresses = [parse_server(url) for url in urls]
        spare = Spare(fallback, partial(share, settings=settings)) if fallback else None
        named = [transport.url for transport in self._injected]
        preferred = (
            url if url in named else replace(parse_server(url), options=()).server for url in settings.preferred
        )
        settings = replace(settings, preferred=tuple(preferred))
        ways = [*(share(connect(address), address, settings) for address in addresses), *self._injected]
        own = reference or (fallback.folder if fallback else None)
        if own is not None:
            copy = LocalCopy(own)
            ways = [CheckedTransport(way, copy) for way in ways]
        return Router(ways, spare, settings)

    @property
    def _router(self) -> Router:
        pid, router = self._made
        if pid != os.getpid():  # its threads and connections are the parent's, and not to be closed here
            self._inherited, router = router, self._connect()
            if self._closed:
                router.close()
            self._made = os.getpid(), router
        return router

    @classmethod
    def shared(cls, *arguments: Any) -> Client:
        """Return the process's one client that is made from these arguments, in their order; see :func:`once`."""

        def make() -> Client:
            urls, fallback, timeout_s, settings, reference = arguments
            return cls(urls, fallback=fallback, timeout_s=timeout_s, settings=settings, reference=reference)

        return once((cls, *arguments), make)

    def shared_model(self, name: str, version: str = "", outputs: tuple[str, ...] = (), request_rows: int = 0) -> Model:
        """Return this client's one model that is called so, which asks for its metadata once."""
        key = (name, version, outputs, request_rows)
        return self._copies.get(key) or self._copies.setdefault(key, self.model(*key))

    def model(self, name: str, version: str = "", outputs: Sequence[str] = (), request_rows: int = 0) -> Model:
        """Return a model on these servers; nothing is sent yet.

        Parameters
        ----------
        name, version : str
            An empty version is the server's choice.
        outputs : sequence of str
            Those that are wanted; empty: all.
        request_rows : int
            Most rows of a request; 0: as many as the model takes.

        Raises
        ------
        ConfigError
            If that makes no sense.
        """
        model = Model.__new__(Model)
        model._bind(self, name, version, outputs, request_rows)
        self._users.setdefault(name, WeakSet()).add(model)
        return model

    def servers(self) -> tuple[ServerState, ...]:
        """Return how each server fared: outstanding, completed and failed requests, and the memory shared with it."""
        return self._router.statistics()

    def by_fallback(self) -> dict[str, int]:
        """Return how many requests the fallback has answered, by model."""
        return self._router.by_fallback()

    def _release(self, model: Model) -> None:
        """Note that a model is not called any more."""
        users = self._users.get(model.name, WeakSet())
        users.discard(model)
        if not users and not self._closed:
            self._router.release(model.name)

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self._closed

    def close(self) -> None:
        """Release connections and the fallback. What is in flight ends in Cancelled."""
        self._closed = True
        self._router.close()

    def __repr__(self) -> str:
        return f"<Client of {_named(self)}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[object, ...]:
        if self._injected:
            raise TypeError("a client of transports made elsewhere cannot be pickled: give it URLs")
        return Client.shared, self._arguments


class Model:
    """A served model, to be called with arrays by input name. Thread-safe; a context manager; can be pickled.

    Copies that are unpickled in one process are one model, whose connections last as long as the process.

    Parameters
    ----------
    url : str
        ``grpc://host:port/model[/version]``, the same with ``http``, ``triton+grpc`` or ``triton+http``, or
        ``local:/folder/of/models/model`` to run it in this process.
    fallback : path-like, Fallback or False, optional
        A folder of models, served in this process from the first time the server cannot take a request; otherwise as
        for :class:`Client`.
    timeout_s : float, optional
        Time that a call may take in all, in seconds; None is no limit.
    settings : ClientSettings or path-like, optional
    reference : path-like, optional
        As for :class:`Client`.
    outputs : sequence of str, optional
        Those that are wanted; the others are not sent. By default all.
    request_rows : int, optional
        Most rows of a request, for a model with a batch: a call with more is sent as several requests, which are in
        flight together. By default as many as the model takes.

    Raises
    ------
    ConfigError
        If the URL is none, the fallback no folder, or a number makes no sense.

    Examples
    --------
    A call returns at once with a future; from asyncio it is ``await asyncio.wrap_future(model.submit(...))``::

        tagger = sonic.Model("grpc://localhost:8001/tagger", fallback="models/")
        future = tagger.submit(features=features, mask=mask)
        scores = future.result()["softmax"]
    """

    name: str
    version: str
    outputs: tuple[str, ...]
    request_rows: int

    def __init__(
        self,
        url: str,
        *,
        fallback: Spares = None,
        timeout_s: float | None = None,
        settings: ClientSettings | str | os.PathLike[str] | None = None,
        reference: str | os.PathLike[str] | None = None,
        outputs: Sequence[str] = (),
        request_rows: int = 0,
    ) -> None:
        address = parse_model(url)
        client = Client(
            [address.server], fallback=fallback, timeout_s=timeout_s, settings=settings, reference=reference
        )
        self._bind(client, address.model, address.version, outputs, request_rows, owner=True)

    def _bind(
        self,
        client: Client,
        name: str,
        version: str,
        outputs: Sequence[str],
        request_rows: int,
        *,
        owner: bool = False,
    ) -> None:
        if isinstance(outputs, str):
            raise ConfigError(f"outputs is a sequence of names, given the one text {outputs!r}")
        if request_rows < 0:
            raise ConfigError(f"request_rows is a number of rows, or 0 for no bound; given {request_rows}")
        self.name = name
        self.version = version
        self.outputs = tuple(outputs)
        self.request_rows = request_rows
        self._client = client
        self._owner = owner
        self._calls = Calls(name, version, self.outputs, request_rows, client.timeout_s, lambda: client._router)

    @property
    def spec(self) -> ModelSpec:
        """Inputs, outputs that are wanted, and most rows of a request; fetched on first use.

        Raises
        ------
        InferenceError
            If no server says; InvalidRequest if there is no output of a name that is wanted.
        """
        return self._calls.spec()

    def submit(self, /, **arrays: ArrayLike) -> Future[dict[str, np.ndarray[Any, Any]]]:
        """Call the model and return at once.

        Parameters
        ----------
        **arrays : array_like
            By input name, of the shapes in :attr:`spec`. More rows than a request has are sent as several requests; no
            rows as none. Arrays must not be changed before the future ends.

        Returns
        -------
        Future of dict of str to ndarray
            Outputs by name, read-only: to change one, copy it. It ends exactly once, in them or in an
            :class:`~sonic.errors.InferenceError`: InvalidRequest if the arrays do not fit the model.
        """
        return self._calls.submit(arrays)

    def __call__(self, /, **arrays: ArrayLike) -> dict[str, np.ndarray[Any, Any]]:
        """Call the model and wait for its outputs; as :meth:`submit` otherwise.

        Raises
        ------
        InferenceError
            As the call ended.
        """
        future = self._calls.submit(arrays, here=True)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # if the wait was interrupted
            raise

    def statistics(self) -> ModelStatistics:
        """Counters of the model on all of its servers together, other clients included.

        Raises
        ------
        InferenceError
            If no server has them.
        """
        return self._calls.statistics()

    def close(self) -> None:
        """Release what this model opened; the client of :meth:`Client.model` stays open.

        A fallback unloads the model when the last one is closed that calls it.
        """
        if self._owner:
            self._client.close()
        else:
            self._client._release(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Model {self.name}{'/' if self.version else ''}{self.version} on {_named(self._client)}>"

    def __reduce__(self) -> tuple[object, ...]:
        return Client.shared_model, (self._client, self.name, self.version, self.outputs, self.request_rows)


def _named(client: Client) -> str:
    return ", ".join(state.server for state in client.servers()) or "the fallback"
