from __future__ import annotations

import errno
import sys

import awkward as ak
import numpy as np
import pytest
import uproot

from sonic.errors import ConfigError, OutputError
from sonic.framework.event import as_content
from sonic.framework.sinks import open_sink


def content(values):
    return ak.to_layout(ak.Array(values))


def fill(sink, values):
    sink.write({"x": content(values)}, len(values))
    sink.close({}, "{}")
    sink.publish()


def parts(folder):
    return list(folder.glob("*.part"))


@pytest.fixture(params=["out.root", "out.parquet"])
def target(request, tmp_path):
    return tmp_path / request.param


def events_of(path):
    if path.suffix == ".root":
        with uproot.open(path) as file:
            return file["Events"].arrays()
    return ak.from_parquet(path)


def test_the_file_appears_when_it_is_whole(target, tmp_path):
    sink = open_sink(target)
    assert len(parts(tmp_path)) == 1
    assert not target.exists()
    sink.write({"x": content([1.0, 2.0])}, 2)
    assert not target.exists()
    sink.close({}, "{}")
    sink.publish()
    assert parts(tmp_path) == []
    assert events_of(target).x.to_list() == [1.0, 2.0]


def test_a_file_that_was_there_stays_until_then(target):
    target.write_text("old")
    sink = open_sink(target)
    sink.write({"x": content([1.0])}, 1)
    assert target.read_text() == "old"
    sink.discard()
    assert target.read_text() == "old"
    sink = open_sink(target)
    sink.write({"x": content([1.0])}, 1)
    sink.close({}, "{}")
    sink.publish()
    assert len(events_of(target)) == 1


@pytest.mark.parametrize("written", [0, 1, 5])
def test_nothing_is_left_of_a_discarded_file(target, tmp_path, written):
    sink = open_sink(target)
    sink._flush_events = 1
    for _ in range(written):
        sink.write({"x": content([1.0])}, 1)
    sink.discard()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("flush_events", [1, 7, 1000])
def test_pieces_do_not_show(target, flush_events):
    sink = open_sink(target)
    sink._flush_events = flush_events
    expected = []
    for i in range(300):
        values = [float(i)] * (i % 3)
        sink.write({"Jet_pt": content([values, []])[:2], "x": content([i, -i])}, 2)
        expected += [{"Jet_pt": values, "x": i}, {"Jet_pt": [], "x": -i}]
    sink.close({}, "{}")
    sink.publish()
    assert sink.events == 600
    assert events_of(target)[["Jet_pt", "x"]].to_list() == expected


def test_large_pieces_are_written_early(target):
    sink = open_sink(target)
    sink._flush_bytes = 1000
    for _ in range(10):
        sink.write({"x": content(np.zeros(200)), "Jet_pt": content([[1.0, 2.0]] * 200)}, 200)
        assert sink._gathered == 0
    # A thin slice of a large block is not large.
    sink.write({"x": content(np.zeros(200))[:2], "Jet_pt": content([[1.0, 2.0]] * 200)[:2]}, 2)
    assert sink._gathered == 2
    sink.discard()


def test_no_events_at_all(target):
    sink = open_sink(target)
    sink.write({"x": content(np.zeros(0, np.float32)), "Jet_pt": content([[1.0]])[:0], "u": content([])}, 0)
    sink.close({}, "{}")
    sink.publish()
    events = events_of(target)
    assert len(events) == 0
    assert {"x", "Jet_pt", "u"} <= set(events.fields)
    assert str(events.x.type.content).removeprefix("?") == "float32"


def test_a_type_that_is_not_known_at_first(target):
    sink = open_sink(target)
    sink._flush_events = 1
    sink.write({"Jet_n": content([[], []])}, 2)
    sink.write({"Jet_n": content([[1, 2]])}, 1)
    sink.close({}, "{}")
    sink.publish()
    assert events_of(target).Jet_n.to_list() == [[], [], [1, 2]]


def test_a_type_may_not_change_unless_nothing_is_lost(target):
    sink = open_sink(target)
    sink._flush_events = 1
    sink.write({"x": content(np.array([1.0]))}, 1)
    sink.write({"x": content(np.array([2], np.int32))}, 1)
    with pytest.raises(OutputError, match="column 'x' was float64 and is now string"):
        sink.write({"x": content(["a"])}, 1)
    sink.discard()
    sink = open_sink(target)
    sink._flush_events = 1
    sink.write({"x": content(np.array([1.0], np.float32))}, 1)
    with pytest.raises(OutputError, match="column 'x' was float32 and is now float64"):
        sink.write({"x": content(np.array([1.0]))}, 1)
    sink.discard()


@pytest.mark.parametrize("made", [np.zeros((2, 0)), ak.to_regular(ak.Array([[], []])), np.zeros((2, 3, 0))])
def test_arrays_without_elements_are_refused(target, made):
    sink = open_sink(target)
    sink.write({"x": as_content(made)}, 2)
    with pytest.raises(OutputError, match=r"column 'x' has type .*: arrays without elements"):
        sink.close({}, "{}")
    sink.discard()


def test_where_there_are_no_events_arrays_may_be_without_elements(target):
    sink = open_sink(target)
    sink.write({"x": as_content(np.zeros((0, 0)))}, 0)
    sink.close({}, "{}")
    sink.discard()


@pytest.mark.parametrize("flush_events", [1, 1000])
@pytest.mark.parametrize("number", [2**53 + 1, -(2**53) - 1, 2**63 - 1])
@pytest.mark.parametrize("jagged", [False, True])
def test_integers_are_not_rounded(target, flush_events, number, jagged):
    sink = open_sink(target)
    sink._flush_events = flush_events
    first, then = ({"x": content([values] if jagged else values)} for values in ([0.5], [number]))
    sink.write(first, 1)
    if flush_events == 1:
        with pytest.raises(OutputError, match=r"column 'x' was .*float64 and is now .*int64$"):
            sink.write(then, 1)
    else:
        sink.write(then, 1)
        with pytest.raises(OutputError, match=r"column 'x' was .*int64 and is now .*float64, which rounds it$"):
            sink.close({}, "{}")
    sink.discard()


@pytest.mark.parametrize("flush_events", [1, 1000])
def test_integers_that_a_float_holds_may_follow_floats(target, flush_events):
    sink = open_sink(target)
    sink._flush_events = flush_events
    for values in ([0.5], [2**53], [-(2**62)]):
        sink.write({"x": content(values)}, 1)
    sink.close({}, "{}")
    sink.publish()
    assert events_of(target).x.to_list() == [0.5, 2.0**53, -(2.0**62)]


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ([1.0, None], [2.0]),
        ([1.0], [None, 2.0]),
        ([None, None], [1, None]),
        (np.ma.masked_array(np.array([1.5, 2.5]), [0, 1]), np.array([3], np.float32)),
        ([[1.0, None], []], [[2.0]]),
        ([[1.0], None], [[2.0]]),
        ([[1.0]], [None, [2.0]]),
        (["a", None], ["b"]),
        ([{"a": 1}, None], [{"a": 2}]),
    ],
)
def test_values_may_be_missing_from_one_piece_and_not_from_another(tmp_path, first, then):
    pytest.importorskip("pyarrow")
    sink = open_sink(tmp_path / "out.parquet")
    sink._flush_events = 1
    pieces = [as_content(first), as_content(then)]
    for piece in pieces:
        sink.write({"x": piece}, len(piece))
    sink.close({}, "{}")
    sink.publish()
    assert events_of(sink.path).x.to_list() == [value for piece in pieces for value in ak.to_list(piece)]


def test_missing_values_do_not_hide_a_type_that_changes(tmp_path):
    pytest.importorskip("pyarrow")
    sink = open_sink(tmp_path / "out.parquet")
    sink._flush_events = 1
    sink.write({"x": content([1, None])}, 2)
    with pytest.raises(OutputError, match=r"column 'x' was \?int64 and is now float64"):
        sink.write({"x": content([1.5])}, 1)
    with pytest.raises(OutputError, match=r"column 'x' was \?int64 and is now \?string"):
        sink.write({"x": content(["a", None])}, 2)
    sink.discard()


@pytest.mark.parametrize("when", ["write", "commit"])
def test_a_full_disk_is_one_line_and_leaves_nothing(target, tmp_path, monkeypatch, when):
    sink = open_sink(target)
    sink._flush_events = 1 if when == "write" else 1000

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sink, "_append", full)
    with pytest.raises(OutputError) as caught:
        fill(sink, [1.0])
    assert str(caught.value) == f"cannot write {target}: No space left on device"
    sink.discard()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on the size of files")
def test_a_limit_of_the_system_on_real_writing(target, tmp_path):
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    sink = open_sink(target)
    sink._flush_events = 1
    noise = np.random.default_rng(1).random(200_000)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OutputError, match="File too large"):
            fill(sink, noise)
        sink.discard()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written(tmp_path):
    with pytest.raises(OutputError, match=r"cannot write .*nowhere/out.root: No such file or directory"):
        open_sink(tmp_path / "nowhere" / "out.root")
    (tmp_path / "folder.root").mkdir()
    with pytest.raises(OutputError, match=r"folder.root: it is a folder"):
        open_sink(tmp_path / "folder.root")
    with pytest.raises(ConfigError, match=r"must end in \.root or \.parquet"):
        open_sink(tmp_path / "out.csv")


def test_parquet_without_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "sonic.framework.sinks.parquet", raising=False)
    with pytest.raises(ConfigError, match=r"Parquet needs pyarrow: pip install 'sonic-hep\[parquet\]'"):
        open_sink(tmp_path / "out.parquet")


def test_nothing_is_left_where_the_disk_is_full_from_the_beginning(target, tmp_path, monkeypatch):
    kind = type(open_sink(tmp_path / f"first{target.suffix}"))

    def full(sink, part):
        part.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(kind, "_open", full)
    with pytest.raises(OutputError, match=f"cannot write {target}: No space left on device"):
        open_sink(target)
    assert [part.name for part in parts(tmp_path) if part.name.startswith(target.name)] == []


def test_a_symbolic_link_is_followed(target, tmp_path):
    (tmp_path / "disk").mkdir()
    there = tmp_path / "disk" / target.name
    target.symlink_to(there)
    for value in (1.0, 2.0):
        fill(open_sink(target), [value])
        assert target.is_symlink()
        assert events_of(there).x.to_list() == [value]
    assert [path.name for path in there.parent.iterdir()] == [target.name]
