"""Run a server as a process: from its start to the signal that ends it, drained. Every command that serves is this."""

from __future__ import annotations

import os
import signal
import sys
import threading
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING

from sonic.server.machine.memory import collected_seldom, share_one_arena

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonic.server.app import Server

_LATE_S = 30.0
"""How much longer than its drain the end of a server without an owner may take, in seconds."""


def run(
    start: Callable[[], Server],
    started: Callable[[Server], None],
    draining: Callable[[str], None],
    *,
    drain_s: float,
    watch_stdin: bool = False,
) -> bool:
    """Start a server and serve until SIGTERM or SIGINT; a second signal ends the process at once.

    Parameters
    ----------
    start : callable
        Makes the server. A signal that comes meanwhile has effect when it is made.
    started : callable
        Called with the server once it takes requests.
    draining : callable
        Called with the reason when it takes no more.
    drain_s : float
        How long requests in hand may take to end, in seconds.
    watch_stdin : bool
        Whether to end also when standard input closes, with whoever holds its other end. Nobody is left then to see
        to it, so that what hangs, be it while it loads or drains, is cut off.

    Returns
    -------
    bool
        Whether all requests ended by themselves.
    """
    reasons: SimpleQueue[str] = SimpleQueue()  # whose put, unlike an Event's set, may interrupt its get
    _on_signals(reasons)
    _fill_standard_files()
    share_one_arena()
    over = threading.Event()
    if watch_stdin:
        watch = partial(_wait_for_end_of_stdin, reasons, over, drain_s + _LATE_S)
        threading.Thread(target=watch, daemon=True).start()
    try:
        with collected_seldom():
            server = start()
            try:
                started(server)
                draining(reasons.get())
            except BaseException:
                server.close(drain_s)
                raise
            return server.close(drain_s)
    finally:
        over.set()


def _on_signals(reasons: SimpleQueue[str]) -> None:
    asked = False

    def ask(number: int, _: object) -> None:
        nonlocal asked
        if asked:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        asked = True
        reasons.put(signal.Signals(number).name)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)


def _fill_standard_files() -> None:
    """Open nothing for standard input, output and error where they are closed, or a socket would get their numbers."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # which gets the lowest number that is free


def _wait_for_end_of_stdin(reasons: SimpleQueue[str], over: threading.Event, limit_s: float) -> None:
    if sys.stdin is not None:  # as it is in a process that is started with it closed
        # Past its buffer, whose lock this thread would hold: the interpreter cannot end without it.
        descriptor = sys.stdin.fileno()
        while os.read(descriptor, 4096):
            pass
    reasons.put("standard input closed")
    if not over.wait(limit_s):
        os._exit(1)
