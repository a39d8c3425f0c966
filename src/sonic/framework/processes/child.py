"""A child: runs the chunks that it is told to, and sends back what is left of them."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import traceback
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sonic.errors import ConfigError, SonicError, one_line
from sonic.framework.processes import interrupts
from sonic.framework.processes.channel import Channel
from sonic.framework.share import Station
from sonic.framework.workflow import load

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from types import FrameType

    from sonic.framework.event import Chunk
    from sonic.framework.finished import Finished
    from sonic.framework.share import Share, Task
    from sonic.framework.source import Span, TreeSource
    from sonic.framework.workflow import Workflow

_GRACE_S = 10.0
"""How long modules may take to come to an end when the job is given up."""


@dataclass(frozen=True)
class Orders:
    """What a child needs to know.

    Parameters
    ----------
    origin : str
        How it finds its workflow; empty: it does not.
    options : tuple of str
        With which it makes it then.
    pickled : bytes
        The workflow, unless it is as it is found. What it is made of may be in the file where it was found.
    task : Task
        With a workflow of no modules in the place of its own.
    source : TreeSource
    max_records : int
    """

    origin: str
    options: tuple[str, ...]
    pickled: bytes
    task: Task
    source: TreeSource
    max_records: int

    def workflow(self) -> Workflow:
        """Find the workflow."""
        if self.origin:
            as_found = load(self.origin, self.options)
            if not self.pickled:
                return as_found
        try:
            sent: Workflow = pickle.loads(self.pickled)  # noqa: S301 - from the process that started this one
        except Exception as error:
            raise ConfigError(f"the workflow cannot be made again in another process: {one_line(error)}") from error
        return sent


@dataclass(frozen=True)
class Began:
    """From the parent: the job begins, at that time by :func:`time.perf_counter_ns`, which all processes share."""

    at_ns: int


@dataclass(frozen=True)
class Ended:
    """From the parent: there is nothing more to do."""


@dataclass(frozen=True)
class Ready:
    """From the child: it has its modules and its models."""


@dataclass(frozen=True)
class Done:
    """From the child: its modules' jobs have ended."""

    share: Share


@dataclass(frozen=True)
class Failed:
    """From the child: its share ended in an error. Causes and most errors cannot be pickled; what they say can.

    Parameters
    ----------
    kind : type
        Of the error, if it is one of Sonic's.
    text, trace : str
    details : dict
        Its attributes.
    """

    kind: type[SonicError] | None
    text: str
    details: dict[str, Any]
    trace: str

    @classmethod
    def of(cls, error: BaseException) -> Failed:
        """Say what an error says."""
        trace = "".join(traceback.format_exception(error))
        if not isinstance(error, SonicError):
            return cls(None, one_line(error), {}, trace)
        plain = {name: value for name, value in vars(error).items() if isinstance(value, str | int | float)}
        return cls(type(error), str(error), plain, trace)

    def error(self) -> Exception:
        """Make the error again."""
        made = RuntimeError(self.text) if self.kind is None else self.kind.__new__(self.kind)
        made.args = (self.text,)
        vars(made).update(self.details)
        made.add_note(f"In another process of the job:\n{self.trace}")
        return made


def main(end: socket.socket, pickled: bytes) -> None:
    """Do a share of a job, as the process's only purpose."""
    interrupts.ignore()
    signal.signal(signal.SIGTERM, _end)
    channel = Channel(end)
    try:
        try:
            _Child(channel, pickle.loads(pickled)).run()  # noqa: S301 - from the process that started this one
        except Exception as error:  # noqa: BLE001 - raised again by the parent
            channel.send(Failed.of(error))
    except (OSError, SystemExit):  # the parent is gone or has given up, and knows
        # Modules and models have ended. What is left are threads of libraries, which would be torn down at work.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)
    finally:
        channel.close()


def _end(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)


class _Child:
    def __init__(self, channel: Channel, orders: Orders) -> None:
        self._channel = channel
        self._orders = orders
        self._source = orders.source
        self._began: Began | None = None
        self._ready = threading.Event()
        self._todo: deque[Span | Ended] = deque()
        self._over = threading.Event()
        self._station: Station | None = None

    def run(self) -> None:
        """Do everything from the first message to the last."""
        threading.Thread(target=self._listen, name="sonic-parent", daemon=True).start()
        task = replace(self._orders.task, workflow=self._orders.workflow())
        with self._source, Station(task, max_records=self._orders.max_records) as station:
            self._station = station
            self._channel.send(Ready())
            self._ready.wait()
            if self._began is not None:
                station.run(self._chunks(), self._source.visit, self._send, began_ns=self._began.at_ns)
                self._over.set()
                self._channel.send(Done(station.share()))

    def _send(self, finished: Finished) -> None:
        try:
            self._channel.send(finished, tag=finished.where.index)
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            raise ConfigError(
                f"what was made of {finished.where} cannot be sent to another process: {one_line(error)}"
            ) from error

    def _chunks(self) -> Iterator[Chunk | None]:
        while True:
            if not self._todo:
                yield None
                continue
            following = self._todo.popleft()
            if isinstance(following, Ended):
                return
            yield from self._source.read(following)

    def _listen(self) -> None:
        """Take what the parent says, until it is gone."""
        try:
            while True:
                message = self._channel.receive().open()
                if isinstance(message, Began):
                    self._began = message
                    self._ready.set()
                    continue
                self._todo.append(message)
                if self._station is not None:
                    self._station.more()
        except EOFError:
            if not self._over.is_set():
                os.kill(os.getpid(), signal.SIGTERM)
                self._over.wait(_GRACE_S)
                os._exit(1)
