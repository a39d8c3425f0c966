from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from sonic.errors import ConfigError
from sonic.protocol.modelconfig import parse
from sonic.server.backends import LoadContext
from sonic.server.backends.identity import IdentityBackend

if TYPE_CHECKING:
    from pathlib import Path


def load(text: str, folder: Path) -> IdentityBackend:
    return IdentityBackend(LoadContext("m", "1", folder, parse(text), 2))


def test_gives_back_what_it_gets(tmp_path: Path) -> None:
    backend = load('input { name: "a" } input { name: "b" } output { name: "c" } output { name: "d" }', tmp_path)
    instance, _ = backend.instances()
    words = np.array([b"x"], np.object_)
    outputs = instance.run({"a": np.arange(3), "b": words}, ["c", "d"])
    assert outputs["c"].tolist() == [0, 1, 2]
    assert outputs["d"].tolist() == [b"x"]


def test_what_the_caller_may_change_is_copied(tmp_path: Path) -> None:
    instance = load('input { name: "a" } output { name: "b" }', tmp_path).instances()[0]
    mine, wire = np.zeros(2), np.frombuffer(bytes(16))
    assert not np.shares_memory(instance.run({"a": mine}, ["b"])["b"], mine)
    assert np.shares_memory(instance.run({"a": wire}, ["b"])["b"], wire)


def test_needs_pairs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="as many outputs as inputs, given 0 and 1"):
        load('input { name: "a" }', tmp_path)
