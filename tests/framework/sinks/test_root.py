from __future__ import annotations

import json

import awkward as ak
import hist
import numpy as np
import pytest
import uproot

from sonic.errors import OutputError
from sonic.framework.sinks.root import RootSink, histograms


def content(values):
    return ak.to_layout(ak.Array(values))


@pytest.fixture
def sink(tmp_path):
    made = RootSink(tmp_path / "out.root")
    yield made
    made.discard()


def written(sink, columns, totals=None, metadata="{}"):
    size = len(next(iter(columns.values()))) if columns else 0
    sink.write({name: content(values) for name, values in columns.items()}, size)
    sink.close(totals or {}, metadata)
    sink.publish()
    return uproot.open(sink.path)


def test_a_collection_shares_its_counter(sink):
    with written(sink, {"Jet_pt": [[1.0, 2.0], []], "Jet_ok": [[True, False], []], "MET_pt": [5.0, 6.0]}) as file:
        tree = file["Events"]
        assert tree.keys() == ["nJet", "Jet_pt", "Jet_ok", "MET_pt"]
        assert tree["nJet"].array().to_list() == [2, 0]
        assert tree["Jet_ok"].array().to_list() == [[True, False], []]


def test_a_kept_counter_is_not_written_twice(sink):
    with written(sink, {"nJet": np.array([2, 0], np.uint32), "Jet_pt": [[1.0, 2.0], []]}) as file:
        assert sorted(file["Events"].keys()) == ["Jet_pt", "nJet"]


def test_a_counter_that_does_not_count(sink):
    with pytest.raises(OutputError, match="column 'nJet' is not the length of 'Jet_pt'"):
        written(sink, {"nJet": [5, 0], "Jet_pt": [[1.0, 2.0], []]})


def test_a_collection_of_different_lengths(sink):
    with pytest.raises(OutputError) as caught:
        written(sink, {"Jet_pt": [[1.0, 2.0], []], "Jet_part": [[1.0], []]})
    assert "columns 'Jet_pt' and 'Jet_part' have lists of different lengths" in str(caught.value)
    assert "(Jet_*) share a counter: give one of them another prefix" in str(caught.value)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.array([1, 2], np.int8), "int8_t"),
        (np.array([1, 2], np.uint64), "uint64_t"),
        (np.array([1, 2], np.float16), "float"),
        (np.array([True, False]), "bool"),
        (np.ones((2, 3), np.float32), "float[3]"),
        (np.ones((2, 3, 2)), "double[3][2]"),
        (ak.to_regular(ak.Array([[1.0, 2.0], [3.0, 4.0]])), "double[2]"),
        (["a", "bc"], "char*"),
        (ak.values_astype(ak.Array([[1], [2, 3]]), np.uint8), "uint8_t[]"),
        (ak.mask(ak.Array([[1], [2, 3]]), [True, True])[[1, 0]].layout.project(), "int64_t[]"),
    ],
)
def test_types(sink, values, kind):
    expected = ak.to_list(values)
    with written(sink, {"x": values}) as file:
        assert file["Events"].typenames()["x"] == kind
        assert file["Events"]["x"].array().to_list() == expected


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ([[[1.0]], []], r"column 'x' has type var \* var \* float64, which a TTree cannot hold: write Parquet"),
        ([1.0, None], r"type \?float64, which a TTree cannot hold: fill the missing values"),
        ([{"a": 1}, {"a": 2}], "which a TTree cannot hold"),
        ([["a"], []], "which a TTree cannot hold"),
        (ak.from_regular(ak.Array(np.ones((2, 1, 2))), axis=1), "which a TTree cannot hold"),
        (np.array([1j, 2]), "holds complex128, which a TTree cannot hold"),
    ],
)
def test_types_that_a_tree_cannot_hold(sink, values, complaint):
    with pytest.raises(OutputError, match=complaint):
        written(sink, {"x": values})


def test_histograms_and_metadata(sink):
    pt = hist.Hist.new.Reg(4, 0, 4, name="pt", label="p_{T} [GeV]").Weight().fill([0.5, 3.5], weight=[2.0, 3.0])
    totals = {
        "jets": {"pt": pt, "n": 3, "deep": {"eta": hist.Hist.new.Reg(2, 0, 2).Int64().fill([1.5])}},
        "met": hist.Hist.new.Var([0, 1, 5]).Reg(2, 0, 1).Double(),
        "count": 5,
    }
    sink.check(totals)
    with written(sink, {"x": [1.0]}, totals, json.dumps({"events": 1})) as file:
        assert file["jets/pt"].values().tolist() == [2.0, 0.0, 0.0, 3.0]
        assert file["jets/pt"].variances().tolist() == [4.0, 0.0, 0.0, 9.0]
        assert file["jets/pt"].axis().member("fTitle") == "p_{T} [GeV]"
        assert file["jets/deep/eta"].values().tolist() == [0.0, 1.0]
        assert file["met"].values().shape == (2, 2)
        assert json.loads(file["sonic"]) == {"events": 1}


def test_histograms_that_cannot_be_stored_are_known_at_once(sink):
    four = hist.Hist.new.Reg(2, 0, 1).Reg(2, 0, 1).Reg(2, 0, 1).Reg(2, 0, 1).Double()
    with pytest.raises(OutputError, match="histogram jets/four cannot be stored in a ROOT file"):
        sink.check({"jets": {"four": four}})
    for name in ("Events", "sonic"):
        with pytest.raises(OutputError, match=f"histogram {name} has the name of something else"):
            sink.check({name: hist.Hist.new.Reg(2, 0, 1).Double()})


def test_histograms_alone(sink):
    with written(sink, {}, {"h": hist.Hist.new.Reg(2, 0, 1).Double()}) as file:
        assert file.keys(cycle=False) == ["h", "sonic"]


def test_paths_of_histograms():
    h = hist.Hist.new.Reg(2, 0, 1).Double()
    assert list(histograms({"a": h, "b": {"c": h, "d": {5: h}, "e": 1}, "f": 2})) == ["a", "b/c", "b/d/5"]


def test_another_name_of_the_tree(tmp_path):
    sink = RootSink(tmp_path / "out.root", "Delphes")
    sink.write({"x": content([1])}, 1)
    sink.close({}, "{}")
    sink.publish()
    with uproot.open(sink.path) as file:
        assert file["Delphes"].num_entries == 1


def test_what_uproot_refuses_is_an_error_of_the_output(tmp_path, monkeypatch):
    sink = RootSink(tmp_path / "out.root")

    def refuse(*_args, **_options):
        raise ValueError("no such branch\nand more")

    monkeypatch.setattr(sink._file, "mktree", refuse)
    sink.write({"x": ak.to_layout([1.0])}, 1)
    with pytest.raises(OutputError, match=r"out.root: tree Events cannot be stored in a ROOT file: no such branch$"):
        sink.close({}, "{}")
    sink.discard()
