"""A process that ends with this one, however this one ends, and whose log is kept for as long as it runs."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_TAIL_BYTES = 1 << 16
_SHOWN_LINES = 8
_guard = Lock()
_lifelines: set[int] = set()


def _let_go() -> None:
    # A forked process that kept its copies would keep the processes alive when their owner is gone.
    for descriptor in _lifelines:
        os.close(descriptor)
    _lifelines.clear()
    _guard.release()


os.register_at_fork(before=_guard.acquire, after_in_parent=_guard.release, after_in_child=_let_go)


class OwnedProcess:
    """A child process with a lifeline: its standard input, which nobody writes to, and which ends when its owner does.

    The command has to watch it and end then. It is in a process group of its own, so that Ctrl-C reaches its owner
    alone, who may still need it to end in order.

    Parameters
    ----------
    name : str
        For messages.
    command : sequence of str
    files : sequence of int
        Numbers of open files that it gets, too, under the same numbers.

    Raises
    ------
    OSError
        If there is no such command.
    """

    def __init__(self, name: str, command: Sequence[str], *, files: Sequence[int] = ()) -> None:
        self.name = name
        self._owner = os.getpid()
        self._ready_bytes = 0
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process; has no name to be left behind
        with _guard:  # not while this process is forked: the copy would be unknown to the fork
            reader, self._lifeline = os.pipe()
            _lifelines.add(self._lifeline)
        try:
            self._process = subprocess.Popen(
                command, stdin=reader, stdout=self._log, stderr=subprocess.STDOUT, process_group=0, pass_fds=files
            )
        except BaseException:
            self._cut()
            self._log.close()
            raise
        finally:
            os.close(reader)

    @property
    def pid(self) -> int:
        """Number of the process, and of its group."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """What it ended with, negative for a signal; None while it runs."""
        return self._process.poll()

    def wait(self, timeout_s: float) -> bool:
        """Wait for its end; False if it does not come."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def ready(self) -> None:
        """Note that it has come up. What it printed so far says nothing of its end."""
        self._ready_bytes = os.fstat(self._log.fileno()).st_size

    def log(self, *, after_bytes: int = 0) -> str:
        """Return the last 64 kB of what it printed; nothing once it is closed."""
        if self._log.closed:
            return ""
        # Not by seeking: the process writes where this file stands.
        end_bytes = os.fstat(self._log.fileno()).st_size
        start_bytes = max(after_bytes, end_bytes - _TAIL_BYTES)
        return os.pread(self._log.fileno(), end_bytes - start_bytes, start_bytes).decode(errors="replace")

    def text(self, what: str) -> str:
        """Say in one line what became of it, and how its log ends."""
        lines = [line.strip() for line in self.log(after_bytes=self._ready_bytes).splitlines() if line.strip()]
        if lines:
            return f"{self.name} {what}: {' | '.join(lines[-_SHOWN_LINES:])}"
        return f"{self.name} {what}, and printed nothing{' since it was ready' if self._ready_bytes else ''}"

    def ended(self) -> str:
        """Say with what it ended."""
        status = self.status
        if status is None:
            return "still runs"
        return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"

    def close(self, drain_s: float = 10.0) -> None:
        """Cut its lifeline, wait until it ends, and kill it if it does not. Harmless when repeated."""
        if os.getpid() != self._owner:
            return
        self._cut()
        if not self.wait(drain_s):
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()
        self._log.close()

    def _cut(self) -> None:
        with _guard:
            if self._lifeline in _lifelines:
                _lifelines.discard(self._lifeline)
                os.close(self._lifeline)
            self._lifeline = -1
