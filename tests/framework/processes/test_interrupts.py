from __future__ import annotations

import subprocess
import sys

import pytest

# In an interpreter of its own, as it is the first child that matters.
PARENT = """
import signal, sys
from multiprocessing import get_context
from sonic.framework.processes.interrupts import start

child = get_context("spawn").Process(target=exec, args=({code!r},))
start(child)
child.join()
assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())
sys.exit(child.exitcode)
"""
BLOCKED = "import signal, sys; sys.exit(signal.pthread_sigmask(signal.SIG_BLOCK, ()) != {signal.SIGINT})"
IGNORED = """
import os, signal
from sonic.framework.processes.interrupts import ignore
os.kill(os.getpid(), signal.SIGINT)
ignore()
os.kill(os.getpid(), signal.SIGINT)
assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())
"""


@pytest.mark.parametrize("code", [BLOCKED, IGNORED])
def test_the_first_child_never_gets_ctrl_c(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PARENT.format(code=code)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
