"""Load and unload the versions of models, with what they are made of and what is made of them.

Its caller sees to it that models which hang together are loaded and unloaded by one thread at a time.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from sonic.errors import ConfigError, ModelNotFound, Unavailable
from sonic.protocol.modelfolder import read_config
from sonic.protocol.proto.model_config_pb2 import ModelConfig
from sonic.server.models.fingerprint import fingerprint
from sonic.server.models.folders import select
from sonic.server.models.releasing import release
from sonic.server.models.turns import kin
from sonic.server.models.versions import Version

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence, Set
    from concurrent.futures import Future
    from pathlib import Path

    from sonic.protocol.messages import InferRequest, InferResponse
    from sonic.server.backends.base import Models
    from sonic.server.backends.services import Service
    from sonic.server.execution.plan import Execution
    from sonic.server.models.fingerprint import Print
    from sonic.server.models.model import ServedModel
    from sonic.server.models.sources import Places, Sources
    from sonic.server.models.versions import Versions
    from sonic.server.scheduling.job import Inline

log = logging.getLogger("sonic.server")

DRAIN_S = 30.0
"""How long requests in hand of a model that goes are waited for."""
TWICE = "model appears in two or more repositories"
_UNLOADED = Version("UNAVAILABLE", "unloaded")
_SHUT_DOWN = "the server is shut down"


class Make(Protocol):
    """Makes one version of a model that takes requests."""

    def __call__(
        self, name: str, version: str, folder: Path, config: ModelConfig, *, models: Models, service: Service | None
    ) -> ServedModel:
        """Raise ConfigError if it cannot be loaded."""


class Loader:
    """Keeps a table of versions as it is told.

    Parameters
    ----------
    sources : Sources
        Where models come from.
    versions : Versions
        What is loaded.
    make : callable
        Makes one version of a model.
    submit : callable
        Takes the requests that a model sends to those that it is made of.
    """

    def __init__(
        self, sources: Sources, versions: Versions, make: Make, submit: Callable[..., Future[InferResponse]]
    ) -> None:
        self._sources = sources
        self._versions = versions
        self._make = make
        self.submit = submit
        # Tables by the name of a model; each row has one thread at a time that changes it.
        self._prints: dict[str, Print] = {}  # of models that are as their folders were, all versions of them
        self._orphans: dict[str, Set[str]] = {}  # models that lack a part as their folders are, and all their parts
        self._closed = False

    def kin(self, name: str, override: ModelConfig | None, found: Places) -> Set[str]:
        """Return the models that hang together with one, now and when they are loaded from their folders."""
        return kin(name, self._wholes(), partial(_parts, found, name, override))

    def kin_of_loaded(self, name: str) -> Set[str]:
        """Return the models that hang together with one as they were loaded."""
        return kin(name, self._wholes())

    def load(self, name: str, found: Places, held: Set[str], override: ModelConfig | None = None) -> None:
        """Load a model after those that it is made of, and then those that are made of it and are there or wait for it.

        Those that it is made of are loaded if they are not, or if their folders have changed since they were.

        Parameters
        ----------
        name : str
        found : mapping of str to tuple of Path
            Folders of all models.
        held : set of str
            Models that nobody else changes.
        override : ModelConfig or None
            In place of the one in its folder.

        Raises
        ------
        ModelNotFound, ConfigError, Unavailable
        """
        self._orphans.pop(name, None)
        loading = _Loading(self, found, held)
        below = [name]
        for one in below:
            below += sorted(_parts(found, name, override, one) - {*below})
        for part in reversed(below[1:]):
            if part in held & found.keys() and self._prints.get(part) not in (None, fingerprint(found[part])):
                try:
                    self._load(part, loading)
                except ConfigError as error:  # as in Triton the whole is then made of what is there
                    log.error("%s", error)
        self._load(name, loading, override)

    def unload(self, name: str, drain_s: float) -> Sequence[ServedModel]:
        """Unload a model and those made of it, which wait for it from then on; return its versions."""
        self._orphans.pop(name, None)
        return self._unload(name, "unloaded", drain_s)

    def close(self) -> None:
        """Release every model, one that is just being loaded when it is."""
        self._closed = True
        release(self._versions.clear(_SHUT_DOWN), drain_s=0.0)

    def _wholes(self) -> Sequence[tuple[str, Set[str]]]:
        loaded = [(model.spec.name, parts_of(model.config)) for model in self._versions.models()]
        return [*loaded, *self._orphans.copy().items()]

    def _load(self, name: str, loading: _Loading, override: ModelConfig | None = None) -> None:
        service = self._sources.service(name)
        folders = loading.found.get(name, ()) if service is None else (service.home,)
        if override is None:
            self._orphans.pop(name, None)
        if not folders:
            raise ModelNotFound(f"no model {name!r} in {self._sources}")
        if self._closed:
            raise Unavailable(_SHUT_DOWN)
        now = fingerprint(folders if service is None else ())  # first, to see what changes while it is being loaded
        if override is None and self._prints.get(name) == now:
            return
        self._prints.pop(name, None)
        self._load_versions(name, folders, override, service, replace(loading, chain=(*loading.chain, name)))
        if override is None:
            self._prints[name] = now
        self._follow(name, replace(loading, chain=()))

    def require(self, name: str, version: str, loading: _Loading) -> ServedModel:
        """Return a model for one that is being loaded; see :meth:`sonic.server.backends.base.Models.require`."""
        if name in loading.chain:
            raise ConfigError(f"models are made of each other: {' -> '.join([*loading.chain, name])}")
        if name not in loading.held:  # a configuration was written in between
            raise ConfigError(f"model {loading.chain[-1]!r} was not made of {name!r} a moment ago")
        try:
            return self._versions.get(name, version)
        except (ModelNotFound, Unavailable):
            if any(row.model is not None for row in self._versions.of(name).values()):
                raise  # the version is what is missing
        self._load(name, loading)
        return self._versions.get(name, version)

    def _load_versions(
        self,
        name: str,
        folders: Sequence[Path],
        override: ModelConfig | None,
        service: Service | None,
        loading: _Loading,
    ) -> None:
        before = self._versions.of(name)
        fresh: dict[str, Version] = {}
        failure: ConfigError | None = None
        config = ModelConfig() if override is None else override
        try:
            if service is not None:
                selected: Mapping[str, Path] = {str(service.version): folders[0]}
            elif len(folders) > 1:
                raise ConfigError(f"{TWICE}: {' and '.join(map(str, folders))}")
            else:
                config = read_config(folders[0]) if override is None else override
                selected = select(folders[0], config)
        except ConfigError as error:
            failure, selected = error, {}
            fresh[""] = Version("UNAVAILABLE", str(error), failed=True)
        self._versions.announce(name, selected)
        for version, path in selected.items():
            try:
                model = self._make(name, version, path, config, models=loading, service=service)
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
            if override is None and (parts := parts_of(config)):
                self._orphans[name] = parts  # what it lacks may be one of them, or another of that name
        gone = {version for version, row in before.items() if version not in fresh and not row.failed}
        self._versions.put(name, {**fresh, **dict.fromkeys(gone, _UNLOADED)})
        kept = [new.model for new in fresh.values()]
        release([old.model for old in before.values() if old.model is not None and old.model not in kept])
        if self._closed:  # meanwhile, and it may have come too early for what was put there
            release(self._versions.clear(_SHUT_DOWN), drain_s=0.0)
            raise Unavailable(_SHUT_DOWN)
        if failure is not None:
            raise failure

    def _follow(self, part: str, loading: _Loading) -> None:
        """Load what is made of a model again, since that is another now, and what has waited for it."""
        loaded = {model.spec.name for model in self._versions.models()}
        waiting = [name for name, parts in self._orphans.copy().items() if part in parts and parts <= loaded]
        for whole, config in self._made_of(part).items():
            self._load_after(part, whole, loading, config)
        for name in waiting:
            self._load_after(part, name, loading)

    def _load_after(self, part: str, whole: str, loading: _Loading, config: ModelConfig | None = None) -> None:
        try:
            self._load(whole, loading, config)
        except (ConfigError, ModelNotFound) as error:
            log.error("%s", error)
            if config is not None:  # what is there was made of what is gone
                self._let_wait(whole, f"it cannot be made of model {part!r} as that is now: {error}", DRAIN_S)

    def _unload(self, name: str, reason: str, drain_s: float) -> Sequence[ServedModel]:
        for whole in self._made_of(name):
            self._let_wait(whole, f"model {name!r}, which it is made of, is unloaded", drain_s)
        self._prints.pop(name, None)
        versions = self._versions.of(name)
        models = [version.model for version in versions.values() if version.model is not None]
        if versions:  # one that could not be loaded is not missed any more
            self._versions.put(name, dict.fromkeys(versions, Version("UNLOADING")))
            release(models, drain_s=drain_s)
            self._versions.put(name, dict.fromkeys(versions, Version("UNAVAILABLE", reason)))
        return models

    def _let_wait(self, whole: str, reason: str, drain_s: float) -> None:
        """Unload a model, unless it went with another one, until all that it is made of is loaded."""
        there = [row.model for row in self._versions.of(whole).values() if row.model is not None]
        if there:
            self._orphans.setdefault(whole, frozenset().union(*(parts_of(model.config) for model in there)))
            self._unload(whole, reason, drain_s)

    def _made_of(self, part: str) -> Mapping[str, ModelConfig]:
        """Return the configurations of the loaded models that are made of one, by their names."""
        return {model.spec.name: model.config for model in self._versions.models() if part in parts_of(model.config)}


@dataclass(frozen=True, slots=True)
class _Loading:
    """The other models, for one that is being loaded and may be made of them."""

    loader: Loader
    found: Places
    held: Set[str]
    """Models that nobody else changes."""
    chain: tuple[str, ...] = ()
    """Models being loaded, each required by the one before."""

    def require(self, name: str, version: str = "") -> ServedModel:
        return self.loader.require(name, version, self)

    def submit(
        self, request: InferRequest, *, inline: Inline = True, observe: Callable[[Execution], None] | None = None
    ) -> Future[InferResponse]:
        return self.loader.submit(request, inline=inline, observe=observe)


def _parts(found: Places, name: str, override: ModelConfig | None, one: str) -> Set[str]:
    """Return the names of the models that one is made of by its folder, or by the configuration in its place."""
    if one == name and override is not None:
        return parts_of(override)
    try:
        return frozenset().union(*(parts_of(read_config(folder)) for folder in found.get(one, ())))
    except ConfigError:  # which is said when it is loaded
        return frozenset()


def parts_of(config: ModelConfig) -> Set[str]:
    """Return the names of the models that one is made of."""
    return frozenset(step.model_name for step in config.ensemble_scheduling.step)
