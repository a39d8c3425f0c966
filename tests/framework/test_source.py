from __future__ import annotations

import http.server
import pickle
import re
import threading

import awkward as ak
import numpy as np
import pytest
import uproot

from sonic.errors import ConfigError, DataError, WorkflowError
from sonic.framework.graph import Graph, Node
from sonic.framework.source import TreeSource


def read(source, required=("x",), optional=()):
    """Chunks of a source as (file name, start, stop, columns)."""
    with source:
        source.require(required, optional)
        return [
            (
                chunk.where.file.rpartition("/")[2],
                chunk.where.start,
                chunk.where.stop,
                chunk.view((*required, *optional)),
            )
            for chunk in source.chunks()
        ]


def ranges(chunks):
    return [chunk[:3] for chunk in chunks]


def test_chunks_follow_the_file(events_file):
    path = events_file(10)
    source = TreeSource([path], chunk_size=4)
    assert source.events == 10
    chunks = read(source, ("x", "Jet_pt"))
    assert ranges(chunks) == [("events.root", 0, 4), ("events.root", 4, 8), ("events.root", 8, 10)]
    with uproot.open(path) as file:
        expected = file["Events"].arrays(["x", "Jet_pt"])
    whole = ak.concatenate([chunk[3] for chunk in chunks])
    assert whole.x.to_list() == expected.x.to_list()
    assert whole.Jet_pt.to_list() == expected.Jet_pt.to_list()
    assert str(whole.Jet_pt.type.content) == "var * float32"


def test_several_files_repeated(events_file):
    paths = [events_file(3, name="a.root"), events_file(0, name="none.root"), events_file(2, name="b.root")]
    source = TreeSource(paths, chunk_size=2, repeat=2)
    assert source.events == 10
    lap = [("a.root", 0, 2), ("a.root", 2, 3), ("b.root", 0, 2)]
    assert ranges(read(source)) == lap * 2


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ((None, None), [("a.root", 0, 3), ("b.root", 0, 4)]),
        ((1, 5), [("a.root", 1, 3), ("b.root", 0, 2)]),
        ((3, None), [("b.root", 0, 4)]),
        ((None, 2), [("a.root", 0, 2)]),
        ((6, 99), [("b.root", 3, 4)]),
        ((99, 100), [("a.root", 0, 0)]),
        ((2, 2), [("a.root", 0, 0)]),
    ],
)
def test_entry_ranges_count_over_all_files(events_file, entries, expected):
    paths = [events_file(3, name="a.root"), events_file(4, name="b.root")]
    source = TreeSource(paths, chunk_size=10, entries=entries)
    assert source.events == sum(stop - start for _, start, stop in expected)
    assert ranges(read(source)) == expected


@pytest.mark.parametrize("block_bytes", [1, 100, 10_000_000])
@pytest.mark.parametrize("chunk_size", [1, 3, 7, 50])
def test_blocks_do_not_show(events_file, block_bytes, chunk_size):
    source = TreeSource([events_file(20)], chunk_size=chunk_size, block_bytes=block_bytes)
    chunks = read(source, ("x", "Jet_pt"))
    assert [chunk[1] for chunk in chunks] == list(range(0, 20, chunk_size))
    assert ak.concatenate([chunk[3].x for chunk in chunks]).to_list() == list(range(20))


def test_chunks_are_numbered_over_the_whole_job(events_file):
    with TreeSource([events_file(5)], chunk_size=2, repeat=2) as source:
        source.require(("x",), ())
        assert [chunk.where.index for chunk in source.chunks()] == list(range(6))


def test_an_empty_file_gives_one_empty_chunk_with_types(events_file):
    (chunk,) = read(TreeSource([events_file(0)], repeat=3), ("x", "Jet_pt", "run"))
    assert ranges([chunk]) == [("events.root", 0, 0)]
    assert str(chunk[3].type) == "0 * {x: float64, Jet_pt: var * float32, run: uint32}"


def test_optional_branches_may_be_absent_in_some_files(events_file):
    paths = [events_file(2, name="a.root"), events_file(2, name="b.root", without="Jet_eta")]
    chunks = read(TreeSource(paths), ("x",), ("Jet_eta", "nope"))
    assert [chunk[3].fields for chunk in chunks] == [["x", "Jet_eta"], ["x"]]


def test_no_columns_at_all(events_file):
    (chunk,) = read(TreeSource([events_file(4)]), ())
    assert len(chunk[3]) == 4


def test_a_missing_branch_is_found_in_any_file_before_reading(events_file):
    paths = [events_file(2, name="a.root"), events_file(2, name="b.root", without="Jet_pt")]
    graph = Graph([Node("jets", ("Jet_pt",), produces=("y",))])
    with TreeSource(paths) as source:
        with pytest.raises(DataError) as caught:
            source.require(graph.required, (), graph.check_input)
        assert str(caught.value).startswith("b.root, tree Events has no branch 'Jet_pt', and no module makes it")
        with pytest.raises(DataError, match=r"b\.root, tree Events has no branch 'Jet_pt'; similar: Jet_eta"):
            source.require(("Jet_pt",), ())
        with pytest.raises(WorkflowError, match=r"module a makes 'x', which a\.root, tree Events has already"):
            source.require((), (), Graph([Node("a", produces=("x",))]).check_input)


def test_files_that_cannot_be_read(events_file, tmp_path):
    good = events_file(5)
    data = good.read_bytes()
    cases = {
        "missing.root": (None, "no input file .*missing.root"),
        "text.root": (b"this is a text\n" * 100, r"cannot read .*text.root: not a ROOT file"),
        "nothing.root": (b"", r"cannot read .*nothing.root: the file ends too early"),
        "head.root": (data[:100], r"cannot read .*head.root: the file ends too early"),
        "half.root": (data[: len(data) // 2], r"cannot read .*half.root"),
        "last.root": (data[:-1], r"cannot read .*last.root: the file ends too early \(\d+ of \d+ bytes\)"),
    }
    for name, (content, complaint) in cases.items():
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        for files in ([path], [good, path]):
            with pytest.raises(DataError, match=complaint) as caught:
                TreeSource(files)
            assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="IsADirectoryError"):
        TreeSource([tmp_path])


def test_of_several_bad_files_the_first_is_named(events_file, tmp_path):
    bad = [tmp_path / f"bad{i}.root" for i in range(9)]
    for path in bad:
        path.write_bytes(b"this is a text\n" * 100)
    with pytest.raises(DataError, match=r"bad4\.root"):
        TreeSource([events_file(5), *bad[4:], *bad[:4]])


def test_a_basket_that_is_damaged_is_an_error_of_the_file(tmp_path):
    path = tmp_path / "damaged.root"
    with uproot.recreate(path, compression=uproot.ZLIB(9)) as file:
        file.mktree("Events", {"x": "float64"}).extend({"x": np.zeros(10_000)})
    with uproot.open(path) as file:
        basket = file["Events"]["x"].basket_chunk_cursor(0)[1].index
    data = bytearray(path.read_bytes())
    data[basket + 80 : basket + 110] = b"\xff" * 30
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"cannot read .*damaged.root"):
        read(TreeSource([path]))


def test_trees_that_are_not_there(events_file, tmp_path):
    path = events_file(5)
    with pytest.raises(DataError, match=r"has no tree 'Evnts'; it has Events$"):
        TreeSource([path], "Evnts")
    with pytest.raises(DataError, match="h is a TH1D, not a TTree"):
        TreeSource([path], "h")
    with uproot.recreate(tmp_path / "empty.root"):
        pass
    with pytest.raises(DataError, match="has no tree 'Events'; it has no trees"):
        TreeSource([tmp_path / "empty.root"])


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"chunk_size": 0}, "at least 1"),
        ({"repeat": 0}, "at least 1"),
        ({"entries": (5, 2)}, "entries 5:2 make no range"),
        ({"entries": (-1, 2)}, "entries -1:2 make no range"),
        ({"entries": (1000, None)}, "entries 1000: make no range of [0-9]+ events"),
        ({"entries": (None, -2)}, "entries :-2 make no range"),
    ],
)
def test_numbers_that_make_no_sense(events_file, options, complaint):
    with pytest.raises(ConfigError, match=complaint):
        TreeSource([events_file(5)], **options)
    with pytest.raises(ConfigError, match="no input files"):
        TreeSource([])


def test_a_file_over_http(events_file):
    pytest.importorskip("aiohttp")
    path = events_file(6)

    class Ranges(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            file = path.parent / self.path[1:]
            if not file.is_file():
                self.send_error(404)
                return
            data = file.read_bytes()
            found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            part = data[int(found[1]) : int(found[2]) + 1] if found else data
            self.send_response(206 if found else 200)
            if found:
                self.send_header("Content-Range", f"bytes {found[1]}-{found[2]}/{len(data)}")
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(part)

        def do_HEAD(self):
            self.do_GET()

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ranges)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        chunks = read(TreeSource([f"{url}/{path.name}"], chunk_size=4))
        assert ranges(chunks) == [("events.root", 0, 4), ("events.root", 4, 6)]
        with pytest.raises(DataError, match=r"cannot read http://.*/absent.root"):
            TreeSource([f"{url}/absent.root"])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_protocol_that_is_not_known():
    with pytest.raises(DataError, match=r"cannot read nope://host/a.root: .*Protocol not known"):
        TreeSource(["nope://host/a.root"])


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "tree", "branches"),
    [
        ("pfnano.root", "Events", ("Jet_pt", "PFCands_pt", "run")),
        ("nano_tt_v15.root", "Events", ("Jet_pt", "HLT_IsoMu24")),
        ("nano_dy.root", "Events", ("Muon_pt",)),
        ("delphes.root", "Delphes", ("Jet.PT", "Event.Number")),
    ],
)
def test_real_files(shared_data, name, tree, branches):
    path = shared_data / "data" / name
    with uproot.open(path) as file:
        expected = file[tree].arrays(list(branches))
    chunks = read(TreeSource([path], tree, chunk_size=7), branches)
    whole = ak.concatenate([chunk[3] for chunk in chunks])
    assert len(whole) == len(expected)
    for branch in branches:
        assert whole[branch].to_list() == expected[branch].to_list()


def test_chunks_that_are_done_are_left_out(events_file):
    files = [events_file(7, name="a.root"), events_file(5, name="b.root")]
    with TreeSource(files, chunk_size=2, repeat=2, block_bytes=1) as source:
        source.require(["x"], [])
        every = [(chunk.where, chunk.view(["x"]).x.to_list()) for chunk in source.chunks()]
        done = {0, 2, 3, 7, 13}
        others = [(chunk.where, chunk.view(["x"]).x.to_list()) for chunk in source.chunks(done)]
        assert others == [chunk for chunk in every if chunk[0].index not in done]
        assert list(source.chunks(range(14))) == []
    assert [where.index for where, _ in every] == list(range(14))


def test_spans_are_neighbouring_chunks_that_are_not_done(events_file):
    files = [events_file(10, name="a.root"), events_file(4, name="b.root", seed=2)]
    with TreeSource(files, chunk_size=3, repeat=2) as source:
        source.require(["x"], [])
        assert [(span.visit, span.first, span.stop) for span in source.spans()] == [
            *((0, 0, 4), (1, 4, 6), (2, 6, 10), (3, 10, 12))
        ]
        spans = list(source.spans(done={1, 4, 5, 9}))
        assert [(span.visit, span.base, span.first, span.stop) for span in spans] == [
            *((0, 0, 0, 1), (0, 0, 2, 4), (2, 6, 6, 9), (3, 10, 10, 12))
        ]
        assert [len(span) for span in spans] == [1, 2, 3, 2]
        assert [source.where(span) for span in spans[:2]] == ["a.root entries 0:3", "a.root entries 6:10"]
        assert [str(chunk.where) for chunk in source.read(spans[1])] == [
            *("chunk 2, a.root entries 6:9", "chunk 3, a.root entries 9:10")
        ]


def test_what_is_known_of_the_files_can_be_sent_to_another_process(events_file):
    with TreeSource([events_file(10)], chunk_size=3) as source:
        source.require(["x"], [])
        next(source.chunks())  # a file is open
        copy = pickle.loads(pickle.dumps(source))
        with copy:
            assert [chunk.view(["x"]).x.to_list() for chunk in copy.chunks()] == [
                *([0, 1, 2], [3, 4, 5], [6, 7, 8], [9])
            ]
        assert copy.chunks_at_once == source.chunks_at_once > 1000
