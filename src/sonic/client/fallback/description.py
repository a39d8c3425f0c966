"""What a fallback is, as a person says it: which models, and where they are to run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal, Self, get_args

from sonic.client.deadline import LONGEST_S
from sonic.errors import ConfigError

How = Literal["inprocess", "child", "container"]
Engine = Literal["auto", "apptainer", "docker", "podman"]


@dataclass(frozen=True)
class Fallback:
    """Models of one's own, for when no server can take a request. Nothing runs before it is needed.

    All clients of a process that describe the same fallback share one.

    Parameters
    ----------
    folder : path-like
        A repository of models.
    how : {"inprocess", "child", "container"}
        ``inprocess``: in the threads of this process. ``child``: by ``sonic serve`` in a process of its own, which ends
        with this one, however that ends. ``container``: by Triton, or what takes its command line, in a container.
    cores : int, optional
        Cores that one model may use; all of them if not given.
    options : sequence of str
        More options for the server's command line; not in this process.
    image : str
        For a container: a name that the engine knows or can fetch, or a file.
    engine : {"auto", "apptainer", "docker", "podman"}
        Which runs the container; ``auto`` is the first of them that is installed.
    engine_options : sequence of str
        More options for the engine, e.g. ``("--nv",)`` or ``("--gpus", "all")``.
    command : sequence of str
        What the container is to run; it gets Triton's options.
    start_timeout_s : float
        How long the start may take in seconds: the fetching of an image included, the loading of models not.
    restarts : int
        How often it is started again when it dies.
    restart_pause_s : float
        Pause before the first of these in seconds; it doubles each time.

    Raises
    ------
    ConfigError
        If this makes no sense. Whether the folder is there is found out by the client.
    """

    folder: str
    how: How = "inprocess"
    cores: int | None = None
    options: tuple[str, ...] = ()
    image: str = ""
    engine: Engine = "auto"
    engine_options: tuple[str, ...] = ()
    command: tuple[str, ...] = ("tritonserver",)
    start_timeout_s: float = 300.0
    restarts: int = 3
    restart_pause_s: float = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", os.fspath(self.folder))
        for name in ("options", "engine_options", "command"):
            _check(name, not isinstance(getattr(self, name), str), "a sequence of texts", getattr(self, name))
            object.__setattr__(self, name, tuple(getattr(self, name)))
        _check("folder", bool(self.folder), "a folder of models", repr(self.folder))
        _check("how", self.how in get_args(How), f"one of {', '.join(get_args(How))}", self.how)
        _check("engine", self.engine in get_args(Engine), f"one of {', '.join(get_args(Engine))}", self.engine)
        _check("cores", self.cores is None or self.cores >= 1, "at least 1, or None", self.cores)
        within = 0 < self.start_timeout_s < LONGEST_S
        _check("start_timeout_s", within, f"above 0, below {LONGEST_S:g}", self.start_timeout_s)
        _check("restarts", self.restarts >= 0, "at least 0", self.restarts)
        _check("restart_pause_s", self.restart_pause_s >= 0, "at least 0", self.restart_pause_s)
        if self.how == "container":
            _check("image", bool(self.image), "needed to run a container", "none")
            _check("command", bool(self.command), "what the container is to run", "nothing")
        else:
            for name, unset in (("image", ""), ("engine", "auto"), ("engine_options", ())):
                given = getattr(self, name)
                _check(name, given == unset, "for how='container' alone", given)
        _check("options", self.how != "inprocess" or not self.options, "for a server of its own", self.options)

    @classmethod
    def of(cls, given: str | os.PathLike[str] | Self) -> Self:
        """Return a description; a path alone is a folder of models for this process."""
        return given if isinstance(given, cls) else cls(os.fspath(given))  # type: ignore[arg-type]

    @property
    def url(self) -> str:
        """What it is called in messages; it begins with ``local:``."""
        return f"local:{self.folder}" + ("" if self.how == "inprocess" else f" ({self.how})")


def _check(name: str, holds: bool, expected: str, given: object) -> None:
    if not holds:
        raise ConfigError(f"{name} of a fallback is {expected}; given {given}")
