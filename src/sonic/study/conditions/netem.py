"""The kernel's own network emulation, netem, between this host and a namespace in which a server is started. Linux.

A pair of virtual interfaces leads from the host into a network namespace of its own; each end holds back what leaves
it. TCP runs over it as over a real network: losses are real losses. It takes the right to administer networks (root, or
CAP_NET_ADMIN and CAP_SYS_ADMIN), the commands ip and tc, and a kernel with netem.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sonic.errors import Unsupported

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sonic.study.conditions.line import Conditions

# Segments that may be on their way at once: at 60 ms of round trip, half of 10 Gbit/s and more.
_LIMIT_PACKETS = 100_000
_MOST_NAMESPACES = 64 * 256
_COMMAND_S = 20.0


class Namespace:
    """A network namespace behind a line of given conditions; made by :func:`namespace`.

    Attributes
    ----------
    name : str
    host : str
        Address in it, which reaches what is started with :attr:`prefix` and listens there.
    prefix : tuple of str
        Put before a command, it runs that in the namespace.
    """

    def __init__(self, number: int) -> None:
        self.name = f"sonic-{number}"
        # Of 10.203.0.0/16, four addresses each.
        third, fourth = divmod(number % _MOST_NAMESPACES * 4, 256)
        self.gateway, self.host = f"10.203.{third}.{fourth + 1}", f"10.203.{third}.{fourth + 2}"
        # Names of interfaces have at most 15 characters.
        self.near, self.far = f"sonic{number}a", f"sonic{number}b"
        self.prefix = ("ip", "netns", "exec", self.name)

    def up(self, conditions: Conditions) -> list[list[str]]:
        """Return the commands that make it."""
        inside = ["ip", "-netns", self.name]
        commands = [
            ["ip", "netns", "add", self.name],
            ["ip", "link", "add", self.near, "type", "veth", "peer", "name", self.far, "netns", self.name],
            ["ip", "address", "add", f"{self.gateway}/30", "dev", self.near],
            [*inside, "address", "add", f"{self.host}/30", "dev", self.far],
            ["ip", "link", "set", self.near, "up"],
            [*inside, "link", "set", self.far, "up"],
            [*inside, "link", "set", "lo", "up"],
        ]
        if not conditions.plain:
            # Segments as they go over a cable: netem would else lose 64 kB at once.
            commands += [
                ["ip", "link", "set", self.near, "gso_max_segs", "1"],
                [*inside, "link", "set", self.far, "gso_max_segs", "1"],
                ["tc", "qdisc", "add", "dev", self.near, "root", *discipline(conditions)],
                ["tc", "-netns", self.name, "qdisc", "add", "dev", self.far, "root", *discipline(conditions)],
            ]
        return commands

    def down(self) -> list[list[str]]:
        """Return the commands that remove it; the pair of interfaces goes with either end."""
        return [["ip", "link", "delete", self.near], ["ip", "netns", "delete", self.name]]


def discipline(conditions: Conditions) -> list[str]:
    """Return the words by which tc gives one direction of a network its conditions."""
    words = ["netem", "limit", str(_LIMIT_PACKETS)]
    if conditions.round_trip_ms:
        words += ["delay", f"{conditions.round_trip_ms * 500:.0f}us"]
        if conditions.jitter_ms:
            words += [f"{conditions.jitter_ms * 1000:.0f}us"]
    if conditions.loss:
        words += ["loss", f"{conditions.loss * 100:.6g}%"]
    if conditions.bandwidth_mbps:
        words += ["rate", f"{conditions.bandwidth_mbps * 1000:.0f}kbit"]
    return words


@contextmanager
def namespace(conditions: Conditions) -> Iterator[Namespace]:
    """Have a namespace behind a line, removed at the end whatever happens.

    Raises
    ------
    Unsupported
        If it cannot be had here: says what is missing, and that the relay needs none of it.
    """
    _tidy()
    made = Namespace(os.getpid())
    try:
        for command in made.up(conditions):
            _run(command)
        yield made
    finally:
        _remove(made)


def _tidy() -> None:
    """Remove the namespaces of processes that were killed."""
    if shutil.which("ip") is None:
        return
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, timeout=_COMMAND_S, check=False)
    for line in listed.stdout.splitlines():
        name = line.split()[0] if line.split() else ""
        owner = name.removeprefix("sonic-")
        if name.startswith("sonic-") and owner.isdecimal() and not _runs(int(owner)):
            _remove(Namespace(int(owner)))


def _remove(made: Namespace) -> None:
    """Remove what there is of it."""
    for command in made.down():
        if shutil.which(command[0]) is not None:
            subprocess.run(command, capture_output=True, timeout=_COMMAND_S, check=False)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _run(command: Sequence[str]) -> None:
    if shutil.which(command[0]) is None:
        raise Unsupported(f"netem cannot be had here: there is no command {command[0]}; {_INSTEAD}")
    done = subprocess.run(command, capture_output=True, text=True, timeout=_COMMAND_S, check=False)
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())
        raise Unsupported(f"netem cannot be had here: {' '.join(command)}: {said}; {_INSTEAD}")


_INSTEAD = 'conditions = "relay" needs no privileges'
