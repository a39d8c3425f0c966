from __future__ import annotations

import pickle

import awkward as ak
import numpy as np
import pytest
from awkward.contents import ListOffsetArray, NumpyArray
from awkward.index import Index32

from sonic.framework.packing import packed, unpacked

JAGGED = ak.Array([[1.0, 2.0], [], [3.0]] * 1000)
LAYOUTS = {
    "numbers": ak.Array(np.arange(5, dtype=np.int16)),
    "bools": ak.Array([True, False]),
    "none at all": ak.Array(np.zeros(0, np.float32)),
    "vectors": ak.Array(np.arange(12.0).reshape(4, 3)),
    "not next to each other": ak.Array(NumpyArray(np.arange(10.0)[::2])),
    "slice of numbers": ak.Array(np.arange(1000.0))[400:405],
    "lists": JAGGED[:4],
    "slice of lists": JAGGED[1500:1507],
    "empty lists": ak.Array([[], []]),
    "no lists": JAGGED[:0],
    "lists in another order": JAGGED[[4, 0, 2]],
    "lists of 32 bits": ak.Array(ListOffsetArray(Index32(np.array([1, 3, 3], np.int32)), NumpyArray(np.arange(9.0)))),
    "lists of vectors": ak.Array(ListOffsetArray(JAGGED[:3].layout.offsets, NumpyArray(np.ones((3, 2))))),
    "lists of lists": ak.Array([[[1], []], [], [[2, 3]]])[1:],
    "texts": ak.Array(["a", "", "much longer"])[1:],
    "bytes": ak.Array([b"a", b"bc"]),
    "records": ak.Array([{"a": 1, "b": [2]}, {"a": 3, "b": []}]),
    "missing": ak.Array([1, None, 3]),
    "times": ak.Array(np.array(["2026-01-01", "2027-01-01"], "datetime64[s]")),
    "with a name": ak.with_parameter(ak.Array([1, 2]), "unit", "GeV"),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_column_is_the_same_again(name):
    array = LAYOUTS[name]
    again = unpacked(pickle.loads(pickle.dumps(packed(array.layout), protocol=5)))
    assert again.form.type == array.layout.form.type
    assert ak.to_list(again) == ak.to_list(array)
    assert ak.parameters(again) == ak.parameters(array)


@pytest.mark.parametrize("name", ["slice of numbers", "slice of lists", "lists in another order"])
def test_no_more_than_it_shows(name):
    assert len(pickle.dumps(packed(LAYOUTS[name].layout), protocol=5)) < 2000


@pytest.mark.parametrize("name", ["numbers", "lists", "texts"])
def test_the_memory_goes_beside_the_pickle(name):
    beside: list[pickle.PickleBuffer] = []
    data = pickle.dumps(packed(LAYOUTS[name].layout), protocol=5, buffer_callback=beside.append)
    assert beside
    assert ak.to_list(unpacked(pickle.loads(data, buffers=beside))) == ak.to_list(LAYOUTS[name])
