"""Folders of models in Triton's layout, and functions -> versions -> loaded models.

::

    repository/
      name/
        config.pbtxt        optional
        1/                  a version: any whole number
          model.onnx

Folders are only read. A function with ``@sonic.service`` is a model of one version, without a folder.

Models that hang together, for one is made of the other, are loaded and unloaded one at a time, others meanwhile.
Looking a model up waits for nothing.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from sonic.errors import ConfigError, ModelNotFound, Unavailable
from sonic.limits import available_cores
from sonic.server.backends.completion import DEFAULT_MAX_BATCH
from sonic.server.models.cache import DEFAULT_CACHE_BYTES, ResponseCache
from sonic.server.models.loader import DRAIN_S, TWICE, Loader, parts_of
from sonic.server.models.model import ServedModel
from sonic.server.models.sources import Sources
from sonic.server.models.turns import Turns
from sonic.server.models.versions import Versions
from sonic.server.scheduling.budget import Budget, default_queue_bytes
from sonic.server.scheduling.queueing import DEFAULT_MAX_QUEUE

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence, Set
    from concurrent.futures import Future

    from sonic.protocol.messages import InferRequest, InferResponse, ModelStatus
    from sonic.protocol.proto.model_config_pb2 import ModelConfig
    from sonic.server.execution.plan import Execution
    from sonic.server.models.sources import Places
    from sonic.server.scheduling.job import Inline

log = logging.getLogger("sonic.server")


class Repository:
    """The models of one or several folders, and functions.

    Parameters
    ----------
    sources : sequence of path, str or function
        Folders; read-only ones are fine. Functions with ``@sonic.service``, or ``path/to/file.py``,
        ``path/to/file.py:function`` and ``package.module:function``, which name them. A model that is in two folders
        cannot be loaded.
    cores : int or None
        Cores that the instances of one model may keep busy; None: all that the process may use.
    default_max_batch : int
        Largest batch of a model whose owner says nothing of it.
    max_queue : int
        Requests that may wait for a model whose owner says nothing of it; 0: no bound.
    max_queue_bytes : int or None
        What the requests that wait may hold, for all models together; 0: no bound. None: a quarter of the memory that
        the process may use.
    cache_bytes : int
        Room for the results of models that ask for ``response_cache``; 0: none are kept.
    only : sequence of str
        Names to serve; empty: all.

    Raises
    ------
    ConfigError
        If a folder is not there, a function has the name of another model, `only` names one that none has, or a
        function is no service.
    """

    def __init__(
        self,
        sources: Sequence[str | os.PathLike[str] | Callable[..., Any]],
        *,
        cores: int | None = None,
        default_max_batch: int = DEFAULT_MAX_BATCH,
        max_queue: int = DEFAULT_MAX_QUEUE,
        max_queue_bytes: int | None = None,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
        only: Sequence[str] = (),
    ) -> None:
        for what, given, least, none in (
            ("cores", cores, 1, ""),
            ("the default of max_batch_size", default_max_batch, 1, ""),
            ("the bound of a queue", max_queue, 0, " (none)"),
            ("the bytes that may wait", max_queue_bytes, 0, " (no bound)"),
            ("the room for cached responses", cache_bytes, 0, " (none)"),
        ):
            if given is not None and given < least:
                raise ConfigError(f"{what} must be {least}{none} or more, given {given}")
        self._sources = Sources(sources, only)
        self.cores = available_cores() if cores is None else cores
        self._budget = Budget(default_queue_bytes() if max_queue_bytes is None else max_queue_bytes)
        self._cache = ResponseCache(cache_bytes)
        self._versions = Versions()
        make = partial(
            ServedModel,
            cores=self.cores,
            default_max_batch=default_max_batch,
            max_queue=max_queue,
            budget=self._budget,
            cache=self._cache,
        )
        self._loader = Loader(self._sources, self._versions, make, self.submit)
        self._turns = Turns()
        self._reasons: dict[str, str] = {}  # of each model there is: why it is not served, if it was never loaded
        self._named: set[str] = set()  # models that were asked for themselves, not only loaded for one made of them
        try:
            self._sources.check()
            self.look()
        except BaseException:
            self._sources.close()
            raise

    def look(self) -> Places:
        """Look which models there are now, for the index too; return those in folders, and where they are.

        Raises
        ------
        ConfigError
            If a folder is not there, or a model in it has the name of a function.
        """
        found = self._look()
        return {name: found[name] for name in self._reasons if name in found}

    def _look(self) -> Places:
        found = self._sources.find()
        names = self._sources.names(found)
        self._reasons = {name: TWICE if len(found.get(name, ())) > 1 else "not loaded" for name in names}
        return found

    def load_all(self, only: Sequence[str] = (), *, strict: bool = True, empty_ok: bool = False) -> None:
        """Load every model.

        Parameters
        ----------
        only : sequence of str
            Names; empty: all there are.
        strict : bool
            Whether one that cannot be loaded is an error. Otherwise the index says why it is missing.
        empty_ok : bool
            Whether there may be none.

        Raises
        ------
        ConfigError
            If there is no model, or, when strict, if one cannot be loaded.
        """
        self.look()
        names = tuple(only) or tuple(self._reasons)
        if not names and not empty_ok:
            raise ConfigError(f"no model in {self._sources}: expected NAME/1/model.onnx or the like below it")
        failed: list[ConfigError | ModelNotFound] = []
        for name in names:
            try:
                self.load(name)
            except (ConfigError, ModelNotFound) as error:
                failed.append(error)
                if not strict:
                    log.error("%s", error)
        if strict and failed:
            more = f" ({len(failed)} of {len(names)} models cannot be loaded)" if len(failed) > 1 else ""
            raise ConfigError(f"{failed[0]}{more}")

    def load(self, name: str, config: ModelConfig | None = None) -> None:
        """Load a model as its folder is now; versions loaded before are replaced without losing a request.

        New requests go to the new versions once all of them are loaded; those that the old ones have end there.
        Nothing is done for a model that is as its folder is: a function, or one whose files have kept their names,
        times and sizes since it was loaded.

        Parameters
        ----------
        name : str
        config : ModelConfig or None
            In place of the one in its folder, until it is loaded again.

        Raises
        ------
        ModelNotFound
            If no repository has it.
        ConfigError
            If one of the versions that its policy selects cannot be loaded. Then what was loaded before stays, and no
            other version comes.
        Unavailable
            If the repository is closed, be it meanwhile.
        """
        found: Places = {}

        def kin() -> Set[str]:
            nonlocal found
            found = self._look()
            return self._loader.kin(name, config, found)

        with self._turns.take(kin) as held:
            if name not in self._reasons:
                raise ModelNotFound(f"no model {name!r} in {self._sources}")
            self._loader.load(name, found, held, config)
            self._named.add(name)

    def submit(
        self, request: InferRequest, *, inline: Inline = True, observe: Callable[[Execution], None] | None = None
    ) -> Future[InferResponse]:
        """Hand a request to its model; see :meth:`sonic.server.models.model.ServedModel.submit`.

        Raises
        ------
        ModelNotFound, Unavailable, InvalidRequest
        """
        model: ServedModel | None = None
        while True:
            previous, model = model, self._versions.get(request.model, request.version)
            try:
                return model.submit(request, inline=inline, observe=observe)
            except Unavailable:
                if model is previous or self._versions.get(request.model, request.version) is model:
                    raise  # else it was replaced in between

    def unload(self, name: str, *, dependents: bool = False, drain_s: float = DRAIN_S) -> bool:
        """Unload a model, and return whether it was loaded: it takes no more requests, those it has are waited for.

        Those that are made of it go too, and come back when it is loaded again, unless they are unloaded themselves.

        Parameters
        ----------
        name : str
        dependents : bool
            Whether the models that it is made of go too, but for those that another loaded one is made of, or that were
            themselves loaded by name, be it at the start.
        drain_s : float
            How long to wait, in seconds.
        """
        with self._turns.take(lambda: self._loader.kin_of_loaded(name)):
            return self._unload(name, dependents, drain_s)

    def _unload(self, name: str, dependents: bool, drain_s: float) -> bool:
        self._named.discard(name)
        models = self._loader.unload(name, drain_s)
        if dependents:
            parts = set().union(*(parts_of(model.config) for model in models))
            needed = self._named.union(*(parts_of(model.config) for model in self.models()))
            for part in sorted(parts - needed):
                self._unload(part, dependents, drain_s)
        return bool(models)

    def get(self, name: str, version: str = "") -> ServedModel:
        """Return a loaded model; without a version the highest there is.

        Raises
        ------
        ModelNotFound
            If there is no such model or version.
        Unavailable
            If there is, but it is not loaded.
        """
        return self._versions.get(name, version)

    def models(self) -> tuple[ServedModel, ...]:
        """Return every loaded version, by name and version."""
        return self._versions.models()

    def index(self) -> tuple[ModelStatus, ...]:
        """Return the state of every version of every model, as of the last time that the folders were read."""
        return self._versions.index(self._reasons)

    def failed(self) -> bool:
        """Whether a model should be there but could not be loaded."""
        return self._versions.failed()

    def settle(self, timeout_s: float) -> bool:
        """Wait until no model is being loaded or unloaded; False if that takes longer than `timeout_s` seconds."""
        return self._turns.settle(timeout_s)

    def close(self) -> None:
        """Release every model. Requests that have not ended end in Unavailable.

        A model that is just being loaded is not waited for: it is released when it is loaded.
        """
        self._loader.close()
        self._sources.close()
