from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np
import pytest

from sonic.framework.state import attributes

TIMEOUT_S = 60.0


class Module:
    def __init__(self, **given):
        vars(self).update(given)


class Sign(Enum):
    PLUS = 1
    MINUS = 2


@dataclass
class Cuts:
    pt: float
    labels: frozenset[str] = frozenset({"tight", "loose", "medium"})


def plain():
    inner = {"b": [1, 2.5], 3: None, "sign": Sign.PLUS}
    return {"cuts": Cuts(20.0), "inner": inner, "path": Path("a"), "raw": b"x", "scale": np.float32(2), "nan": np.nan}


def test_the_same_in_every_process():
    code = "import json, test_state as t; print(json.dumps(t.attributes(t.Module(**t.plain(), w=t.np.eye(3)))))"

    def told(seed):
        env = {**os.environ, "PYTHONHASHSEED": seed}
        folder = Path(__file__).parent
        return subprocess.check_output([sys.executable, "-c", code], env=env, cwd=folder, timeout=TIMEOUT_S, text=True)

    assert told("1") == told("2") == json.dumps(attributes(Module(**plain(), w=np.eye(3)))) + "\n"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1.0, 2.0),
        ([1, [2]], [1, [3]]),
        (np.zeros(4), np.zeros((2, 2))),
        (np.zeros(4), np.zeros(4, np.int64)),
        (np.arange(1000), np.arange(1000)[::-1]),
        (["x" * 1000], ["y" * 1000]),
        (Sign.PLUS, Sign.MINUS),
        (Cuts(20.0), Cuts(30.0)),
        ({"a": 1}, {"a": 2}),
        ({1, 2}, {1, 3}),
    ],
)
def test_what_differs(one, other):
    assert attributes(Module(of=one)) == attributes(Module(of=one)) != attributes(Module(of=other))
    assert len(json.dumps(attributes(Module(of=one)))) < 300


def test_what_cannot_be_told_is_left_out():
    endless = []
    endless.append(endless)
    given = {"lock": threading.Lock(), "some": [object()], "objects": np.array([object()]), "endless": endless}
    assert attributes(Module(**given, kind=Cuts, f=len, x=1)) == {"x": 1}
