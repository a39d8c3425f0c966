from __future__ import annotations

import numpy as np
import pytest

from sonic.errors import ModelFailed
from sonic.framework import Mode, Offload, OffloadFilter
from sonic.framework.offload import Offloaded, check_finite, rows, tensor_bytes


class Tagger(Offload):
    model = "tagger"

    def acquire(self, events):
        return {}

    def produce(self, events, outputs):
        return {}


def test_outputs_that_are_no_numbers_are_counted():
    bad = {"good": np.ones(2), "score": np.array([[1.0, np.nan], [np.inf, 2.0]], np.float32)}
    with pytest.raises(ModelFailed) as caught:
        check_finite(Tagger(), bad)
    assert str(caught.value) == "model tagger gave 2 of 4 values of output 'score' as NaN or infinity"


def test_a_module_may_allow_them():
    class Relaxed(Tagger):
        allow_nonfinite = True

    check_finite(Relaxed(), {"score": np.array([np.nan])})


def test_other_outputs_pass():
    text = np.array([b"a"], dtype=object)
    check_finite(Tagger(), {"i": np.arange(3), "b": np.array([True]), "s": text, "none": np.zeros((0, 3))})


def test_rows_and_bytes():
    arrays = {"a": np.zeros((3, 4), np.float32), "b": np.zeros((3, 2), np.int64)}
    assert rows(arrays) == 3
    assert tensor_bytes(arrays) == 3 * 4 * 4 + 3 * 2 * 8
    assert rows({}) == tensor_bytes({}) == 0
    assert tensor_bytes({"s": np.array([b"ab", b""], dtype=object)}) == 4 + 2 + 4


def test_modes_have_the_names_of_the_command_line():
    assert [mode.value for mode in Mode] == ["sync", "async", "pseudo_async"]
    assert Tagger().mode is None


def test_both_kinds_are_abstract_and_offloaded():
    for kind in (Offload, OffloadFilter):
        assert issubclass(kind, Offloaded)
        with pytest.raises(TypeError, match="abstract"):
            kind()
