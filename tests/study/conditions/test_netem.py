from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sonic.errors import Unsupported
from sonic.study.conditions import Conditions
from sonic.study.conditions.netem import Namespace, discipline, namespace

if TYPE_CHECKING:
    from pathlib import Path


def _namespaces() -> str:
    return subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout


def test_what_tc_is_told() -> None:
    assert discipline(Conditions(60, 2.5, 100, 0.001)) == (
        ["netem", "limit", "100000", "delay", "30000us", "2500us", "loss", "0.1%", "rate", "100000kbit"]
    )
    assert discipline(Conditions(bandwidth_mbps=0.5)) == ["netem", "limit", "100000", "rate", "500kbit"]


def test_both_ends_hold_back_what_leaves_them() -> None:
    made = Namespace(4194303)  # the largest number of a process
    shaped = [command for command in made.up(Conditions(10)) if command[0] == "tc"]
    assert [made.near in command for command in shaped] == [True, False]
    assert [made.far in command for command in shaped] == [False, True]
    assert all(len(name) <= 15 for name in (made.near, made.far))
    assert not [command for command in made.up(Conditions()) if command[0] == "tc"]


def test_neighbours_have_addresses_of_their_own() -> None:
    seen = {address for number in range(1000, 1200) for address in vars(Namespace(number)).values()}
    assert len([each for each in seen if isinstance(each, str) and each.startswith("10.203.")]) == 400


def test_without_the_commands_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unsupported, match='there is no command ip; conditions = "relay" needs no privileges'):
        namespace(Conditions(10)).__enter__()


def test_what_fails_halfway_is_removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A tc that does not know netem, and an ip that notes what it is told."""
    notes = tmp_path / "notes"
    (tmp_path / "ip").write_text(f'#!/bin/sh\necho "$@" >> {notes}\n')
    (tmp_path / "tc").write_text("#!/bin/sh\necho 'Error: Specified qdisc kind is unknown.' >&2; exit 2\n")
    for name in ("ip", "tc"):
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unsupported, match="kind is unknown"):
        namespace(Conditions(10)).__enter__()
    assert notes.read_text().splitlines()[-2:] == [
        f"link delete sonic{os.getpid()}a",
        f"netns delete sonic-{os.getpid()}",
    ]


def _may_administer() -> bool:
    if sys.platform != "linux" or shutil.which("ip") is None:
        return False
    try:
        with namespace(Conditions()):
            return True
    except Unsupported:
        return False


@pytest.mark.skipif(not _may_administer(), reason="no right to make network namespaces here")
def test_a_namespace_is_reached_and_leaves_nothing_behind() -> None:
    killed = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    stale = Namespace(int(killed.stdout))
    subprocess.run(stale.up(Conditions())[0], check=True)
    with namespace(Conditions()) as made:
        assert stale.name not in _namespaces()
        assert made.name in _namespaces()
        program = f"import socket; server = socket.create_server(('{made.host}', 0)); "
        program += "print(server.getsockname()[1], flush=True); server.accept()[0].sendall(b'there')"
        with subprocess.Popen([*made.prefix, sys.executable, "-c", program], stdout=subprocess.PIPE) as server:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            with socket.create_connection((made.host, port), timeout=5) as connection:
                assert connection.recv(5) == b"there"
    assert made.name not in _namespaces()
