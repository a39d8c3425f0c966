"""A server in a container, which ends with its owner."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

from sonic.client.fallback import keeper
from sonic.client.fallback.commands import (
    ENGINES,
    PORT,
    port_command,
    port_taken,
    published_port,
    run_command,
    shares_network,
    stop_command,
)
from sonic.client.fallback.control import ControlledGrpc
from sonic.client.fallback.owned import OwnedProcess
from sonic.errors import Cancelled, ConfigError, InferenceError, Unavailable

if TYPE_CHECKING:
    from threading import Event

    from sonic.client.fallback.description import Fallback

_GLANCE_S = 0.1
_ENGINE_S = 30.0
"""How long an engine may take to answer a question, in seconds."""

_PORTS = 5
"""How many free ports are tried, where somebody else may take one before the server does."""

_GRACE_S = 10.0
"""How long a container may take to end by itself, in seconds."""


class Container:
    """A server of models in a container.

    Parameters
    ----------
    fallback : Fallback
    stop : Event
        Set to give up waiting for it.

    Raises
    ------
    ConfigError
        If no engine is installed, or it cannot be given the models.
    Unavailable
        If it does not come up; the text ends with the last lines of its log.
    Cancelled
        If `stop` was set before it did.
    """

    def __init__(self, fallback: Fallback, stop: Event) -> None:
        self._fallback = fallback
        self.engine = find_engine(fallback.engine)
        self._until_s = monotonic() + fallback.start_timeout_s
        self.transport = self._start(stop)

    def _start(self, stop: Event) -> ControlledGrpc:
        folder, user = os.path.realpath(self._fallback.folder), (os.getuid(), os.getgid())
        tries = 0
        while True:
            tries += 1
            self.name = f"sonic-{os.getpid()}-{secrets.token_hex(4)}"
            port = _free_port() if shares_network(self.engine) else None
            run = run_command(self._fallback, self.engine, self.name, folder=folder, port=port or PORT, user=user)
            kept = keeper.command(run, stop_command(self.engine, self.name), _GRACE_S)
            self.process = OwnedProcess(f"{self.engine} with {self._fallback.image}", kept)
            try:
                return self._reach(port, stop)
            except BaseException as error:
                taken = isinstance(error, Unavailable) and port_taken(self.process.log())
                self.close()
                if not (taken and port and tries < _PORTS):
                    raise

    def _reach(self, port: int | None, stop: Event) -> ControlledGrpc:
        while port is None:
            self._pause(stop)
            port = self._published()
        transport = ControlledGrpc(f"127.0.0.1:{port}")
        try:
            while not self._answers(transport):
                self._pause(stop)
        except BaseException:
            transport.close()
            raise
        self.process.ready()
        return transport

    def _published(self) -> int | None:
        with suppress(subprocess.TimeoutExpired):  # it is asked again, as long as there is time
            return published_port(_run(port_command(self.engine, self.name)))
        return None

    def _answers(self, transport: ControlledGrpc) -> bool:
        """Whether the server is there, and is ours: another may have taken the port that was free."""
        with suppress(InferenceError):
            return transport.server_name(1.0) == self.name and transport.ready(1.0)
        return False

    def _pause(self, stop: Event) -> None:
        if self.process.wait(_GLANCE_S):
            raise Unavailable(self.process.text(f"{self.process.ended()} before it was ready"))
        if monotonic() > self._until_s:
            raise Unavailable(self.process.text(f"was not ready within {self._fallback.start_timeout_s:g} s"))
        if stop.is_set():
            raise Cancelled(f"{self.process.name} is not needed any more")

    def close(self, drain_s: float = 10.0) -> None:
        """End it, whatever state it is in: requests that it has may end first, for at most `drain_s` seconds.

        To end a container that does not end by itself takes longer than that.
        """
        self.process.close(drain_s + _GRACE_S + _ENGINE_S)
        end = stop_command(self.engine, self.name)
        if not end or self.process.status is None or self.process.status >= 0:
            return
        # What keeps the container was killed, and has left it behind.
        with suppress(OSError, subprocess.TimeoutExpired):
            _run(end)


def find_engine(wanted: str) -> str:
    """Return the engine to use.

    Raises
    ------
    ConfigError
        If it is not installed; if any will do, if none is.
    """
    for engine in ENGINES if wanted == "auto" else (wanted,):
        if shutil.which(engine):
            return engine
    missing = f"{wanted} is not" if wanted != "auto" else f"none of {', '.join(ENGINES)} is"
    raise ConfigError(f"a container needs an engine to run it: {missing} on the PATH")


def _run(command: list[str]) -> str:
    """Return what a command prints; it is nothing where it fails."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_ENGINE_S, check=False
    )
    return done.stdout


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port
