from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from sonic.errors import OutputError
from sonic.framework.event import Chunk, EventRange, as_content, collection


def test_a_range_says_where_it_is():
    where = EventRange(3, "root://host//store/pfnano.root", 30, 40)
    assert str(where) == "chunk 3, pfnano.root entries 30:40"
    assert len(where) == 10


def test_a_view_has_the_columns_asked_for_and_skips_absent_ones(chunk_of):
    chunk = chunk_of(x=[1, 2], Jet_pt=[[1.5], []])
    view = chunk.view(("Jet_pt", "nope", "x"))
    assert view.fields == ["Jet_pt", "x"]
    assert view.to_list() == [{"Jet_pt": [1.5], "x": 1}, {"Jet_pt": [], "x": 2}]
    assert len(chunk.view(())) == 2


def test_a_chunk_is_a_part_of_a_block():
    block = {"x": ak.Array([0, 1, 2, 3]).layout}
    chunk = Chunk(EventRange(0, "f", 11, 13), block, 1)
    assert chunk.view(("x",)).x.to_list() == [1, 2]


def test_products_are_seen_at_the_level_of_the_reader(chunk_of):
    chunk = chunk_of(x=[1, 2, 3])
    chunk.put({"y": np.array([10, 20, 30])}, ("y",), 0)
    chunk.selection.apply(np.array([True, False, True]))
    chunk.put({"z": [100, 300]}, ("z",), 1)
    assert chunk.view(("x", "y", "z"), 1).to_list() == [{"x": 1, "y": 10, "z": 100}, {"x": 3, "y": 30, "z": 300}]


@pytest.mark.parametrize(
    ("products", "complaint"),
    [
        ({}, "returned products none, declared y"),
        ({"y": [1, 2], "z": [1, 2]}, "returned products y, z, declared y"),
        ({"y": [1, 2, 3]}, "product 'y' has 3 entries for 2 events"),
    ],
)
def test_products_that_do_not_fit_are_refused(chunk_of, products, complaint):
    with pytest.raises(ValueError, match=complaint):
        chunk_of(x=[1, 2]).put(products, ("y",), 0)


def test_a_number_is_no_product(chunk_of):
    for value in (1.0, np.float32(1), np.array(1.0), "a"):
        with pytest.raises(TypeError, match="one entry an event"):
            chunk_of(x=[1]).put({"y": value}, ("y",), 0)


def test_finish_with_every_event(chunk_of):
    chunk = chunk_of(Jet_pt=[[1.0, 2.0], [], [3.0]], x=[1, 2, 3])
    chunk.selection.apply(np.array([True, True, False]))
    chunk.selection.apply(np.array([False, True]))
    chunk.put({"s": np.array([7.0])}, ("s",), 2)
    output = chunk.output(("x", "s"), ("first", "second"), widen=True)
    assert {name: ak.to_list(column) for name, column in output.items()} == {
        "x": [1, 2, 3],
        "s": [pytest.approx(np.nan, nan_ok=True), 7.0, pytest.approx(np.nan, nan_ok=True)],
        "first": [True, True, False],
        "second": [False, True, False],
    }


def test_finish_with_events_that_pass(chunk_of):
    chunk = chunk_of(x=[1, 2, 3])
    chunk.selection.apply(np.array([True, False, True]))
    chunk.put({"s": np.array([7.0, 8.0])}, ("s",), 1)
    output = chunk.output(("s", "x"), ("first",), widen=False)
    assert {name: ak.to_list(column) for name, column in output.items()} == {"s": [7.0, 8.0], "x": [1, 3]}


def test_a_collection_keeps_one_length_though_some_of_it_was_made_after_a_filter(chunk_of):
    chunk = chunk_of(Jet_pt=[[1.0, 2.0], [3.0]])
    chunk.selection.apply(np.array([False, True]))
    chunk.put({"Jet_tag": ak.Array([[0.5]])}, ("Jet_tag",), 1)
    output = chunk.output(("Jet_tag", "Jet_pt"), ("f",), widen=True)
    assert list(output) == ["Jet_tag", "Jet_pt", "f"]
    tags = ak.Array(output["Jet_tag"])
    assert ak.num(tags).to_list() == [2, 1]
    assert ak.all(np.isnan(tags[0]))
    assert tags[1].to_list() == [0.5]


def test_lists_that_are_missing_count_as_empty_in_their_collection(chunk_of):
    chunk = chunk_of(Jet_a=ak.Array([[1.0, 2.0], None, [3.0]]), Jet_b=[[1, 2], [], [3]])
    chunk.selection.apply(np.array([False, True, True]))
    chunk.put({"Jet_c": [[], [7.0]], "lead": ak.Array([None, 7.0])}, ("Jet_c", "lead"), 1)
    output = chunk.output(("Jet_a", "Jet_b", "Jet_c", "lead"), ("f",), widen=True)
    assert ak.to_list(output["Jet_a"]) == [[1.0, 2.0], None, [3.0]]
    assert ak.to_list(ak.num(ak.Array(output["Jet_c"]))) == [2, 0, 1]
    assert ak.to_list(output["lead"]) == [None, None, 7.0]


def test_a_column_that_has_no_blanks_is_an_error_of_the_output(chunk_of):
    chunk = chunk_of(x=[1, 2, 3])
    chunk.selection.apply(np.array([False, True, True]))
    chunk.put({"mixed": ["a", 1]}, ("mixed",), 1)
    expected = r"column 'mixed' of chunk 0, .* entries 0:3: type union\[string, int64\] has no entry .*: write only"
    with pytest.raises(OutputError, match=expected):
        chunk.output(("mixed",), ("f",), widen=True)


def test_a_chunk_of_no_events(chunk_of):
    chunk = chunk_of(x=np.zeros(0), Jet_pt=ak.Array([[1.0]])[:0])
    chunk.put({"y": np.zeros((0, 3), np.float32)}, ("y",), 0)
    chunk.selection.apply(np.zeros(0, dtype=bool))
    output = chunk.output(("Jet_pt", "y"), ("f",), widen=True)
    assert [str(ak.type(ak.Array(column))) for column in output.values()] == [
        "0 * var * float64",
        "0 * 3 * float32",
        "0 * bool",
    ]


def test_anything_awkward_knows_is_a_column():
    for value in (np.arange(3), [0, 1, 2], ak.Array([0, 1, 2]), ak.Array([0, 1, 2]).layout):
        assert ak.to_list(as_content(value)) == [0, 1, 2]


def test_what_numpy_masks_is_missing():
    masked = np.ma.masked_array([1.0, 2.0, 3.0], [False, True, False])
    assert ak.to_list(as_content(masked)) == [1.0, None, 3.0]
    assert str(as_content(masked).form.type) == str(as_content(masked[:1]).form.type) == "?float64"
    assert ak.to_list(as_content(np.ma.masked_array(np.ones((1, 2)), [[True, False]]))) == [[None, 1.0]]


def test_texts_as_a_model_gives_them() -> None:
    texts = np.array([[b"a", b""], [b"b\xff", b"c"]], object)
    assert str(as_content(texts).form.type) == "2 * bytes"
    assert ak.to_list(as_content(texts)) == texts.tolist()
    assert str(as_content(texts[:0]).form.type) == "2 * bytes"
    with pytest.raises(TypeError):
        as_content(np.array([b"a", None], object))


def test_collections():
    assert [collection(name) for name in ("Jet_pt", "MET", "Jet_a_b")] == ["Jet", "MET", "Jet"]
