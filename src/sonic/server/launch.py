"""Run a server as a process: from its start to the signal that ends it, drained. Every command that serves is this."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, NoReturn

from sonic.server.machine.memory import collected_seldom, share_one_arena

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonic.server.app import Server

_LATE_S = 30.0
"""How much longer than its drain the end of a server may take, in seconds: a model may hang as it is released."""


def run(
    start: Callable[[], Server],
    started: Callable[[Server], None],
    draining: Callable[[str], None],
    *,
    drain_s: float,
    notice_s: float = 0.0,
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
    notice_s : float
        How long to go on before that after SIGTERM, not ready, so that whoever sends requests learns of it.
    watch_stdin : bool
        Whether to end also when standard input closes, with whoever holds its other end. Nobody is left then to see
        to it, so that what hangs while it loads is cut off, too.

    Returns
    -------
    bool
        Whether all requests ended by themselves; if not, :func:`leave` ends the process.
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
                reason = reasons.get()
                if notice_s and reason == signal.SIGTERM.name:
                    server.retire()
                    with suppress(Empty):  # else standard input has closed
                        reasons.get(timeout=min(notice_s, threading.TIMEOUT_MAX))
                draining(reason)
                threading.Thread(target=_cut_off, args=(over, drain_s + _LATE_S), daemon=True).start()
            except BaseException:
                server.close(drain_s)
                raise
            return server.close(drain_s)
    finally:
        over.set()


def leave(status: int) -> NoReturn:
    """End the process at once: a thread that still executes a model would hold its end up, or crash on the way."""
    if sys.stdout is not None:
        with suppress(OSError, ValueError):  # nobody reads it any more
            sys.stdout.flush()
    os._exit(status)


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
    _cut_off(over, limit_s)


def _cut_off(over: threading.Event, limit_s: float) -> None:
    if not over.wait(min(limit_s, threading.TIMEOUT_MAX)):
        leave(1)
