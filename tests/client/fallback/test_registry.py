from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sonic.client.fallback import Fallback, registry
from sonic.client.fallback.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Hashable
    from pathlib import Path


class Shared:
    def __init__(self, fallback: Fallback, share: object) -> None:
        self.left: list[Hashable] = []
        self.closed = 0

    def leave(self, user: Hashable) -> None:
        self.left.append(user)

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def all_(monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.setattr(registry, "SharedFallback", Shared)
    return Registry()


def test_one_for_all_that_describe_the_same(all_: Registry, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "models")
    first = all_.join(Fallback(str(tmp_path / "models"), "child"), "a")
    assert all_.join(Fallback(str(tmp_path / "link"), "child"), "b") is first
    assert all_.join(Fallback(str(tmp_path / "models"), "child", cores=1), "a") is not first


def test_it_ends_with_the_last_member(all_: Registry, tmp_path: Path) -> None:
    fallback = Fallback(str(tmp_path))
    first: Shared = all_.join(fallback, "a")  # type: ignore[assignment]
    all_.join(fallback, "b")
    all_.leave(first, "a")  # type: ignore[arg-type]
    assert (first.left, first.closed) == (["a"], 0)
    all_.leave(first, "b")  # type: ignore[arg-type]
    assert (first.left, first.closed) == (["a"], 1)
    anew = all_.join(fallback, "c")
    assert anew is not first
    all_.leave(first, "b")  # type: ignore[arg-type]
    assert first.closed == 1
    assert all_.join(fallback, "d") is anew


def test_a_forked_process_begins_anew(all_: Registry, tmp_path: Path) -> None:
    first: Shared = all_.join(Fallback(str(tmp_path)), "a")  # type: ignore[assignment]
    all_.forget()
    assert all_.join(Fallback(str(tmp_path)), "a") is not first
    all_.leave(first, "a")  # type: ignore[arg-type]
    assert first.closed == 0


def test_a_process_forgets_when_it_is_forked(tmp_path: Path) -> None:
    program = f"""
import os
from sonic.client.fallback import Fallback
from sonic.client.fallback.registry import FALLBACKS
given = Fallback({str(tmp_path)!r})
first = FALLBACKS.join(given, "a")
if not (forked := os.fork()):
    os._exit(FALLBACKS.join(given, "a") is first)
assert os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]) == 0
assert FALLBACKS.join(given, "b") is first
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
