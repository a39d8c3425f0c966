"""Keep a container engine's process, and end its container when the owner is gone.

Run as a file, by itself: ``python keeper.py GRACE_S STOP_WORDS STOP... RUN...``. It needs the standard library alone,
so that it starts at once, and its standard input to stay open for as long as the container is to run. A container is
not the engine's child: that the engine's process ends, or is killed, does not end it. So the stop command is run in
any case.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading

_PR_SET_PDEATHSIG = 1
_STOP_S = 30.0
"""How long the stop command may take, in seconds."""


def keep(run: list[str], stop: list[str], grace_s: float) -> int:
    """Run a command until it ends or standard input does.

    Parameters
    ----------
    run : list of str
    stop : list of str
        Run at the end; none if empty.
    grace_s : float
        How long the command may take to end after SIGTERM, in seconds.

    Returns
    -------
    int
        Exit status of the command, as a shell gives it.
    """
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: threading.Thread(target=over.set, daemon=True).start())
    try:
        engine = subprocess.Popen(run, stdin=subprocess.DEVNULL, process_group=0, preexec_fn=_follow)
    except OSError as error:
        sys.stderr.write(f"cannot run {run[0]}: {error.strerror}\n")
        return 127

    def watch_input() -> None:
        while os.read(0, 4096):
            pass
        over.set()

    def watch_engine() -> None:
        engine.wait()
        over.set()

    for watch in (watch_input, watch_engine):
        threading.Thread(target=watch, daemon=True).start()
    over.wait()
    try:
        if engine.poll() is None:
            engine.terminate()
            engine.wait(grace_s)
    except subprocess.TimeoutExpired:
        pass
    finally:
        if stop:
            _run(stop)
        _kill_group(engine.pid)
    status = engine.wait()
    return 128 - status if status < 0 else status


def _follow() -> None:
    """Have this process, which is to become the engine's, killed when the keeper is."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _run(command: list[str]) -> None:
    quiet = subprocess.DEVNULL
    try:
        # That there is no such container any more is how it should be.
        subprocess.run(command, stdin=quiet, stdout=quiet, stderr=quiet, timeout=_STOP_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        sys.stderr.write(f"{command[0]} cannot end the container: {error}\n")


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return  # nothing is left of it


def command(run: list[str], stop: list[str], grace_s: float) -> list[str]:
    """Return the command line that has this file keep a command."""
    return [sys.executable, "-I", "-S", os.path.abspath(__file__), f"{grace_s:g}", str(len(stop)), *stop, *run]  # noqa: PTH100


if __name__ == "__main__":
    _grace_s, _words, *_rest = sys.argv[1:]
    sys.exit(keep(_rest[int(_words) :], _rest[: int(_words)], float(_grace_s)))
