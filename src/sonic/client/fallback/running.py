"""A fallback that runs: the way to it, whether it lives, and its end."""

from __future__ import annotations

import secrets
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol, cast

from sonic.client.fallback.container import Container
from sonic.client.fallback.control import ControlledGrpc
from sonic.client.fallback.serve import ServeProcess
from sonic.client.transport import Transport
from sonic.client.url import Address, connect, parse_server
from sonic.errors import InferenceError

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from sonic.client.fallback.description import Fallback
    from sonic.client.fallback.pulse import Pulse

    Share = Callable[[Transport, Address], Transport]

_ANSWER_S = 20.0
"""How long one that is asked may take to say that it lives, in seconds. It may have no processor, or be loading."""

_DRAIN_S = 10.0
"""How long it may take to end by itself, in seconds."""

_DEATH_S = 1.0
"""How long the end of a process may take to be seen after that of its connections, in seconds."""


def as_it_is(transport: Transport, _: Address) -> Transport:
    """Share no memory."""
    return transport


class Controlled(Transport, Protocol):
    """A way to a server that loads and unloads models as it is told."""

    def load(self, model: str) -> None:
        """Load a model. Blocks for as long as that takes.

        Raises
        ------
        InferenceError
            If it cannot be loaded, with the cause.
        """

    def unload(self, model: str) -> None:
        """Unload a model, but none that it is made of."""


class Running:
    """One life of a fallback.

    Parameters
    ----------
    control : Controlled
        Loads and unloads.
    transport : Transport, optional
        What requests go through; the same if not given. It is closed with this.
    """

    def __init__(self, control: Controlled, transport: Transport | None = None) -> None:
        self.control = control
        self.pulse: Pulse | None = None
        self.transport = transport or control

    @property
    def mortal(self) -> bool:
        """Whether it can die before this process does."""
        return False

    def lives(self) -> bool:
        """Whether there is hope that it answers again. Blocks for seconds at most."""
        return True

    def obituary(self) -> str:
        """Say how it ended, and how its log does."""
        return "lives"

    def close(self) -> None:
        """End it; its requests in flight end in Cancelled or Unavailable."""
        self.transport.close()


class Served(Running):
    """One that runs in a process of its own.

    Parameters
    ----------
    way : ControlledGrpc
    owner : ServeProcess or Container
    share : callable
        See :func:`launch`.
    """

    def __init__(self, way: ControlledGrpc, owner: ServeProcess | Container, share: Share) -> None:
        super().__init__(way, share(way, parse_server(way.url)))
        self.owner = owner
        self._way = way
        self._frozen = False

    @property
    def mortal(self) -> bool:
        """Whether it can die before this process does."""
        return True

    def lives(self) -> bool:
        """Whether there is hope that it answers again. Blocks for seconds at most."""
        process = self.owner.process
        if process.status is not None:
            return False
        with suppress(InferenceError):
            self._way.server_name(_ANSWER_S)
            return True
        self._frozen = not process.wait(_DEATH_S)
        return False

    def obituary(self) -> str:
        """Say how it ended, and how its log does."""
        process = self.owner.process
        return process.text("gave no sign of life" if self._frozen else process.ended())

    def close(self) -> None:
        """End it; its requests in flight end in Cancelled or Unavailable."""
        self.transport.close()
        self.owner.close(0.0 if self._frozen else _DRAIN_S)


def launch(fallback: Fallback, stop: Event, share: Share = as_it_is) -> Running:
    """Start a fallback, without any model yet.

    Parameters
    ----------
    fallback : Fallback
    stop : Event
        Set to give up waiting for it.
    share : callable, optional
        Makes of the transport to a server at an address one that shares memory with it.

    Raises
    ------
    ConfigError
        If it makes no sense.
    Unavailable
        If it does not come up.
    Cancelled
        If `stop` was set before it did.
    """
    if fallback.how == "container":
        container = Container(fallback, stop)
        return Served(container.transport, container, share)
    if fallback.how == "child":
        return _launch_child(fallback, stop, share)
    cores = "" if fallback.cores is None else f"?cores={fallback.cores}"
    return Running(cast("Controlled", connect(Address("local", fallback.folder + cores))))


def _launch_child(fallback: Fallback, stop: Event, share: Share) -> Served:
    # All users of this host can reach the child's ports. The token keeps them out; its file has no name.
    with tempfile.TemporaryFile() as token:
        token.write(secrets.token_urlsafe().encode())
        token.flush()
        path = f"/dev/fd/{token.fileno()}"
        child = ServeProcess(
            [fallback.folder],
            cores=fallback.cores,
            options=("--model-control", "explicit", "--token-file", path, *fallback.options),
            files=(token.fileno(),),
            start_timeout_s=fallback.start_timeout_s,
            stop=stop,
        )
        return Served(ControlledGrpc(child.grpc_url.removeprefix("grpc://"), token_file=path), child, share)
