"""The versions of every model, and their states: what a repository has loaded."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sonic.errors import ModelNotFound, Unavailable, shown
from sonic.protocol.messages import ModelStatus
from sonic.protocol.modelfolder import number

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sonic.server.models.model import ServedModel

_UNKNOWN = "Request for unknown model"
"""What clients that were written for Triton know it by, as the words after it."""


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a model.

    Parameters
    ----------
    state : str
        READY, UNAVAILABLE, LOADING or UNLOADING.
    reason : str
        Why it is in this state.
    model : ServedModel or None
        None: it takes no requests.
    failed : bool
        Whether it should be loaded and could not be.
    """

    state: str
    reason: str = ""
    model: ServedModel | None = None
    failed: bool = False


class Versions:
    """A table of them. Thread-safe; looking a model up never waits for one that is being loaded."""

    def __init__(self) -> None:
        self._rows: dict[str, Mapping[str, Version]] = {}
        self._lock = threading.Lock()

    def of(self, name: str) -> Mapping[str, Version]:
        """Return the versions of a model, none if it is unknown."""
        with self._lock:
            return self._rows.get(name, {})

    def announce(self, name: str, versions: Iterable[str]) -> None:
        """Show versions as being loaded, unless they are there."""
        with self._lock:
            self._rows[name] = {**dict.fromkeys(versions, Version("LOADING")), **self._rows.get(name, {})}

    def put(self, name: str, versions: Mapping[str, Version]) -> None:
        """Replace the versions of a model."""
        with self._lock:
            self._rows[name] = versions

    def clear(self, reason: str) -> list[ServedModel]:
        """Let every version be unavailable, and return those that were loaded."""
        with self._lock:
            models = [row.model for rows in self._rows.values() for row in rows.values() if row.model is not None]
            gone = Version("UNAVAILABLE", reason)
            self._rows = {name: dict.fromkeys(rows, gone) for name, rows in self._rows.items()}
            return models

    def get(self, name: str, version: str = "") -> ServedModel:
        """Return a loaded model; without a version the highest there is.

        Raises
        ------
        ModelNotFound
            If there is no such model or version.
        Unavailable
            If there is, but it is not loaded.
        """
        with self._lock:
            versions = self._rows.get(name)
            if versions is None:
                raise ModelNotFound(f"{_UNKNOWN}: {name!r} is not found: {self._known()}")
            if len(versions) == 1 and (not version or version in versions):  # as most have
                (chosen,) = versions.values()
            elif version:
                if version not in versions:
                    asked = version if number(version) >= 0 else shown(version)
                    there = ", ".join(versions) or "none"
                    raise ModelNotFound(f"{_UNKNOWN}: {name!r} version {asked} is not found: there is {there}")
                chosen = versions[version]
            else:
                chosen = max(
                    versions.items(),
                    key=lambda item: (item[1].model is not None, item[1].failed, number(item[0])),
                    default=("", Version("UNAVAILABLE", "it has no version")),
                )[1]
        if chosen.model is None:
            state = f"version {version} is not at ready state" if version else "has no available versions"
            reason = f": {chosen.reason}" if chosen.reason else ""
            raise Unavailable(f"{_UNKNOWN}: {name!r} {state}: {chosen.state.lower()}{reason}")
        return chosen.model

    def models(self) -> tuple[ServedModel, ...]:
        """Return every loaded version, by name and version."""
        with self._lock:
            return tuple(
                version.model
                for name in sorted(self._rows)
                for _, version in sorted(self._rows[name].items(), key=lambda item: number(item[0]))
                if version.model is not None
            )

    def index(self, missing: Mapping[str, str] | None = None) -> tuple[ModelStatus, ...]:
        """Return the state of every version of every model; of those that were never loaded, why not by name."""
        with self._lock:
            rows = {
                name: [ModelStatus(name, version, row.state, row.reason) for version, row in versions.items()]
                for name, versions in self._rows.items()
            }
        for name, reason in (missing or {}).items():
            rows.setdefault(name, [ModelStatus(name, "", "UNAVAILABLE", reason)])
        return tuple(
            row for name in sorted(rows) for row in sorted(rows[name], key=lambda status: number(status.version))
        )

    def failed(self) -> bool:
        """Whether a model should be there but could not be loaded."""
        with self._lock:
            return any(version.failed for versions in self._rows.values() for version in versions.values())

    def _known(self) -> str:
        return f"there is {', '.join(sorted(self._rows))}" if self._rows else "none is loaded"
