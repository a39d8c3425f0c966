"""For a moment what ``make fuzz`` does for long: every reader, on its seeds, damaged ones and what is drawn."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.drawn import DRAWN
from fuzz.faults import FaultError, ends_in, expect
from fuzz.seeds import seeds, words
from fuzz.targets import TARGETS
from sonic.errors import InvalidRequest
from sonic.testing import hostile

some = settings(max_examples=50, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("name", TARGETS)
def test_readers_end_in_a_result_or_in_an_error_of_theirs(name: str) -> None:
    found = seeds(name)
    assert found
    for seed in found:
        TARGETS[name](seed)

    @some
    @given(st.sampled_from(found).flatmap(hostile.damaged))
    def read(data: bytes) -> None:
        TARGETS[name](data)

    read()


@pytest.mark.parametrize("name", DRAWN)
def test_readers_of_what_is_nearly_right(name: str) -> None:
    @some
    @given(DRAWN[name])
    def read(data: bytes) -> None:
        TARGETS[name](data)

    read()


def test_a_fault_is_one() -> None:
    for text in ("no", "half a character: \ud800"):
        with ends_in(InvalidRequest):
            raise InvalidRequest(text)
    for text in ("", "two\nlines"):
        with pytest.raises(FaultError, match="an error of the text"), ends_in(InvalidRequest):
            raise InvalidRequest(text)
    with pytest.raises(KeyError), ends_in(InvalidRequest):
        raise KeyError("k")
    with pytest.raises(FaultError, match="wrong"):
        expect(0, "wrong")
    assert b"default_model_filename" in words("pbtxt")


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="needs the extra fuzz")
def test_atheris_runs_a_reader(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fuzz.codecs", "tensor", str(tmp_path), "-runs=200"]
    tools = Path(__file__).resolve().parents[2] / "tools"
    done = subprocess.run(command, cwd=tools, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Done 200 runs" in done.stderr
