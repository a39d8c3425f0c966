"""Folders of models in Triton's layout, and functions -> versions -> loaded models.

::

    repository/
      name/
        config.pbtxt        optional
        1/                  a version: any whole number
          model.onnx

Folders are only read. A function with ``@sonic.service`` is a model of one version, without a folder.

Loading is one at a time; looking a model up never waits for it.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sonic.errors import ConfigError, ModelNotFound, Unavailable
from sonic.protocol.modelfolder import read_config
from sonic.protocol.proto.model_config_pb2 import ModelConfig
from sonic.server.backends.completion import DEFAULT_MAX_BATCH
from sonic.server.machine.limits import available_cores
from sonic.server.models.cache import DEFAULT_CACHE_BYTES, ResponseCache
from sonic.server.models.fingerprint import fingerprint
from sonic.server.models.folders import select
from sonic.server.models.model import ServedModel
from sonic.server.models.releasing import release
from sonic.server.models.sources import Sources
from sonic.server.models.versions import Version, Versions
from sonic.server.scheduling.budget import Budget, default_queue_bytes
from sonic.server.scheduling.queueing import DEFAULT_MAX_QUEUE

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from sonic.protocol.messages import InferRequest, InferResponse, ModelStatus
    from sonic.server.backends.services import Service
    from sonic.server.execution.plan import Execution
    from sonic.server.models.fingerprint import Print
    from sonic.server.models.sources import Places
    from sonic.server.scheduling.job import Inline

log = logging.getLogger("sonic.server")

_TWICE = "model appears in two or more repositories"
_UNLOADED = Version("UNAVAILABLE", "unloaded")
_SHUT_DOWN = "the server is shut down"


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
        self._default_max_batch = default_max_batch
        self._max_queue = max_queue
        self._budget = Budget(default_queue_bytes() if max_queue_bytes is None else max_queue_bytes)
        self._cache = ResponseCache(cache_bytes)
        self._versions = Versions()
        self._reasons: dict[str, str] = {}  # of each model there is: why it is not served, if it was never loaded
        self._loading = threading.RLock()  # one load or unload at a time, with those that it requires
        self._chain: list[str] = []  # models being loaded, each required by the one before
        self._named: set[str] = set()  # models that were asked for themselves, not only loaded for one made of them
        self._prints: dict[str, Print] = {}  # of models that are as their folders were, all versions of them
        self._orphans: dict[str, set[str]] = {}  # models unloaded because a part of them was, and all their parts
        self._closed = False
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
        found = self._sources.find()
        names = self._sources.names(found)
        self._reasons = {name: _TWICE if len(found.get(name, ())) > 1 else "not loaded" for name in names}
        return {name: found[name] for name in names if name in found}

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
        with self._loading:
            self._load(name, self.look(), config)
            self._named.add(name)

    def require(self, name: str, version: str = "") -> ServedModel:
        """Return a model for one that is made of it, and is being loaded; it is loaded first if it is not.

        It may be one that is not among the names to serve.

        Raises
        ------
        ModelNotFound, Unavailable, ConfigError
            If it is not there, cannot be loaded, or requires the one that asks.
        """
        with self._loading:
            if name in self._chain:
                raise ConfigError(f"models are made of each other: {' -> '.join([*self._chain, name])}")
            try:
                return self.get(name, version)
            except (ModelNotFound, Unavailable):
                if any(row.model is not None for row in self._versions.of(name).values()):
                    raise  # the version is what is missing
            self._load(name, self._sources.find())
            return self.get(name, version)

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

    def _load(self, name: str, found: Places, override: ModelConfig | None = None) -> None:
        service = self._sources.service(name)
        folders = found.get(name, ()) if service is None else (service.home,)
        self._orphans.pop(name, None)
        if not folders:
            raise ModelNotFound(f"no model {name!r} in {self._sources}")
        if self._closed:
            raise Unavailable(_SHUT_DOWN)
        now = fingerprint(folders if service is None else ())  # first, to see what changes while it is being loaded
        if override is None and self._prints.get(name) == now:
            return
        self._prints.pop(name, None)
        self._chain.append(name)
        try:
            self._load_versions(name, folders, override, service)
        finally:
            self._chain.pop()
        if override is None:
            self._prints[name] = now
        for whole in self.models():
            if name in _parts(whole):  # it was made of what was there before
                self._prints.pop(whole.spec.name, None)
        self._load_orphans(name, found)

    def _load_versions(
        self, name: str, folders: Sequence[Path], override: ModelConfig | None, service: Service | None = None
    ) -> None:
        before = self._versions.of(name)
        fresh: dict[str, Version] = {}
        failure: ConfigError | None = None
        try:
            if service is not None:
                config = ModelConfig() if override is None else override
                selected = {str(service.version): folders[0]}
            elif len(folders) > 1:
                raise ConfigError(f"{_TWICE}: {' and '.join(map(str, folders))}")
            else:
                config = read_config(folders[0]) if override is None else override
                selected = select(folders[0], config)
        except ConfigError as error:
            failure, selected = error, {}
            fresh[""] = Version("UNAVAILABLE", str(error), failed=True)
        self._versions.announce(name, selected)
        for version, path in selected.items():
            try:
                model = ServedModel(
                    name,
                    version,
                    path,
                    config,
                    cores=self.cores,
                    default_max_batch=self._default_max_batch,
                    max_queue=self._max_queue,
                    budget=self._budget,
                    cache=self._cache,
                    models=self,
                    service=service,
                )
                fresh[version] = Version("READY", model=model)
                log.info("loaded model %r version %s, %d instances", name, version, model.instances)
            except ConfigError as error:
                failure = failure or error
                fresh[version] = Version("UNAVAILABLE", str(error), failed=True)
        if failure is not None:  # all versions or none: a request without one is for the highest
            release([new.model for new in fresh.values() if new.model is not None], drain_s=0.0)
            fresh = {version: row if row.failed else _UNLOADED for version, row in fresh.items()}
            if any(old.model is not None for old in before.values()):
                reason = f"as before: its reload failed: {failure}"
                fresh = {v: row if row.model is None else replace(row, reason=reason) for v, row in before.items()}
        gone = {version for version, row in before.items() if version not in fresh and not row.failed}
        self._versions.put(name, {**fresh, **dict.fromkeys(gone, _UNLOADED)})
        kept = [new.model for new in fresh.values()]
        release([old.model for old in before.values() if old.model is not None and old.model not in kept])
        if self._closed:  # meanwhile, and it may have come too early for what was put there
            release(self._versions.clear(_SHUT_DOWN), drain_s=0.0)
            raise Unavailable(_SHUT_DOWN)
        if failure is not None:
            raise failure

    def unload(self, name: str, *, dependents: bool = False, drain_s: float = 30.0) -> bool:
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
        with self._loading:
            self._orphans.pop(name, None)
            self._named.discard(name)
            models = self._unload(name, "unloaded", drain_s)
            parts = {part for model in models for part in _parts(model)} if dependents else set()
            needed = self._named.union(*map(_parts, self.models()))
            for part in sorted(parts - needed):
                self.unload(part, dependents=True, drain_s=drain_s)
            return bool(models)

    def _unload(self, name: str, reason: str, drain_s: float) -> list[ServedModel]:
        for whole in self.models():
            if name in _parts(whole) and whole.spec.name not in self._orphans:
                self._orphans[whole.spec.name] = _parts(whole)
                self._unload(whole.spec.name, f"model {name!r}, which it is made of, is unloaded", drain_s)
        self._prints.pop(name, None)
        versions = self._versions.of(name)
        models = [version.model for version in versions.values() if version.model is not None]
        if versions:  # one that could not be loaded is not missed any more
            self._versions.put(name, dict.fromkeys(versions, Version("UNLOADING")))
            release(models, drain_s=drain_s)
            self._versions.put(name, dict.fromkeys(versions, Version("UNAVAILABLE", reason)))
        return models

    def _load_orphans(self, part: str, found: Places) -> None:
        loaded = {model.spec.name for model in self.models()}
        for name in [name for name, parts in self._orphans.items() if part in parts and parts <= loaded]:
            try:
                self._load(name, found)
            except (ConfigError, ModelNotFound) as error:
                log.error("%s", error)

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
        settled = self._loading.acquire(timeout=timeout_s)
        if settled:
            self._loading.release()
        return settled

    def close(self) -> None:
        """Release every model. Requests that have not ended end in Unavailable.

        A model that is just being loaded is not waited for: it is released when it is loaded.
        """
        self._closed = True
        release(self._versions.clear(_SHUT_DOWN), drain_s=0.0)
        self._sources.close()


def _parts(model: ServedModel) -> set[str]:
    return {step.model_name for step in model.config.ensemble_scheduling.step}
