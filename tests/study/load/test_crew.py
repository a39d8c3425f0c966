"""Processes that work, and that do not. Their work is the library's own: a test's could not be imported there."""

from __future__ import annotations

import os
import signal
import time
from itertools import count
from multiprocessing import active_children
from typing import TYPE_CHECKING

import pytest

from sonic.client.url import parse_server
from sonic.errors import ProcessLost, SonicError
from sonic.study.load.clients import Clients
from sonic.study.load.crew import Crew
from sonic.study.load.inputs import FileInputs, RandomInputs
from sonic.study.load.settings import LoadSettings

if TYPE_CHECKING:
    from sonic.server.app import Server
    from sonic.study.load.inputs import Inputs


def works(server: Server, *inputs: Inputs) -> list[Clients]:
    address, spec = parse_server(server.grpc_url), server.dataplane.model_spec("echo")
    settings = LoadSettings(clients=2 * len(inputs))
    return [Clients(address, spec, each, settings, part, len(inputs)) for part, each in enumerate(inputs)]


def test_what_all_count_is_added_up_and_one_that_dies_is_noticed(server: Server) -> None:
    with Crew(works(server, RandomInputs(), RandomInputs())) as crew:
        slices = crew.slices(0.1)
        served = server.dataplane.statistics("echo")[0].success.count
        total = sum(next(slices).requests for _ in range(3))
        assert 0 < total <= server.dataplane.statistics("echo")[0].success.count - served
        victim = next(child for child in active_children() if child.name == "sonic-load")
        assert victim.pid is not None
        os.kill(victim.pid, signal.SIGKILL)
        with pytest.raises(ProcessLost, match=r"process [12] of 2 of the load ended with status -9"):
            for _ in slices:
                pass
    assert not [child for child in active_children() if child.name == "sonic-load"]


def test_one_that_freezes_is_noticed_though_the_others_report(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = count()
    with Crew(works(server, RandomInputs(), RandomInputs())) as crew:
        slices = crew.slices(0.1)
        next(slices)
        victim = next(child for child in active_children() if child.name == "sonic-load")
        assert victim.pid is not None
        os.kill(victim.pid, signal.SIGSTOP)
        # Each look at the clock takes seconds.
        monkeypatch.setattr("sonic.study.load.crew.clock", lambda: time.monotonic() + 4.0 * next(looks))
        with pytest.raises(ProcessLost, match=r"process [12] of 2 of the load was silent for 20 s"):
            for _ in slices:
                pass
    assert not [child for child in active_children() if child.name == "sonic-load"]


def test_one_that_cannot_make_ready_says_why(server: Server) -> None:
    with Crew(works(server, FileInputs("none.npz"))) as crew, pytest.raises(SonicError, match=r"cannot read none.npz"):
        next(crew.slices(0.1))
