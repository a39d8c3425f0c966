"""Jobs in several processes: that the output is that of one process, and what becomes of a job that loses some."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from textwrap import dedent

import psutil
import pytest
import uproot

import sonic
from sonic.errors import ConfigError, ModuleError, ProcessLost
from sonic.framework import Producer, Target, Workflow
from sonic.framework.job import run
from sonic.framework.ledger import Account
from sonic.framework.processes.fleet import _placed
from sonic.framework.report import SINK, Phase, Record
from sonic.framework.share import Share
from sonic.framework.workflow import load
from sonic.testing.compare import differences

TIMEOUT_S = 100.0

FLOW = """
    import json, os, signal
    from pathlib import Path

    import awkward as ak
    import hist
    import numpy as np

    from sonic.framework import Analyzer, Filter, Offload, Producer, Workflow


    class Work(Producer):
        # Notes each event in a file, and does what the environment says on some of them.
        consumes = ("x",)
        produces = ("y",)

        def begin_job(self, job):
            if "DOOMED" in os.environ:
                os.kill(os.getpid(), signal.SIGKILL)
            self._note(begun=[job.process, job.processes, job.events], pid=os.getpid())

        def begin_file(self, file):
            self._note(file=file.file[-6:])

        def end_file(self, file):
            self._note(ended=file.file[-6:])

        def end_job(self):
            self._note(done=True)

        def produce(self, events):
            fates = json.loads(os.environ.get("FATES", "{}"))
            for x in events.x.to_list():
                fate, once = fates.get(str(int(x)), ("", False))
                if once and Path(f"met{x}").exists():
                    fate = ""
                Path(f"met{x}").touch() if fate else None
                if fate == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                if fate == "raise":
                    raise ValueError(f"no {x}")
            self._note(x=events.x.to_list())
            return {"y": 0.1 * events.x}

        def _note(self, **what):
            if "NOTES" in os.environ:
                with open(os.environ["NOTES"], "a") as file:
                    file.write(json.dumps(what) + "\\n")


    class HasJets(Filter):
        consumes = ("Jet_pt",)

        def select(self, events):
            return ak.num(events.Jet_pt) > 0


    class Score(Offload):
        model = "scorer"
        consumes = ("Jet_pt", "Jet_eta")
        produces = ("Jet_score",)

        def acquire(self, events):
            columns = [ak.to_numpy(ak.flatten(events[f"Jet_{name}"])) for name in ("pt", "eta")]
            return {"x": np.stack(columns, axis=1).astype(np.float32)}

        def produce(self, events, outputs):
            return {"Jet_score": ak.unflatten(outputs["y"][:, 0], ak.num(events.Jet_pt))}


    class Spectrum(Analyzer):
        consumes = ("x", "y")

        def analyze(self, events):
            return {"h": hist.Hist.new.Reg(10, 0, 4).Weight().fill(events.y, weight=0.1 * events.x), "n": len(events)}

        def summarize(self, total):
            return {"events": total["n"]}


    MODELS = os.environ.get("MODELS")
    offload = (Score(),) if MODELS else ()
    workflow = Workflow("test", (Work(), HasJets(), *offload, Spectrum()), ("x", "y", "Jet_*"), MODELS)
"""


@pytest.fixture
def flow(tmp_path, monkeypatch):
    """The path of a workflow file, in a folder to work in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    path = tmp_path / "flow.py"
    path.write_text(dedent(FLOW))
    return str(path)


@pytest.fixture
def fates(monkeypatch):
    """Say what happens on some events: `fates({3: ("kill", True)})`, once or each time."""
    return lambda what: monkeypatch.setenv("FATES", json.dumps(what))


@pytest.fixture
def notes(tmp_path):
    """What the modules noted, of one kind."""

    def read(kind):
        lines = [json.loads(line) for line in (tmp_path / "notes").read_text().splitlines()]
        return [line[kind] for line in lines if kind in line]

    return read


def outputs(folder, name):
    return [folder / f"{name}.root", Target(folder / f"{name}.parquet", ("y", "Jet_pt"), "pass")]


def same(folder, one, other):
    a, b = (folder / f"{name}.parquet" for name in (one, other))
    with uproot.open(folder / f"{one}.root") as first, uproot.open(folder / f"{other}.root") as second:
        assert first["sonic"] == second["sonic"]
        assert (first["Spectrum/h"].values() == second["Spectrum/h"].values()).all()
    return differences(folder / f"{one}.root", folder / f"{other}.root") == [] and a.read_bytes() == b.read_bytes()


def test_the_output_is_that_of_one_process(events_file, tmp_path, flow, notes, models, monkeypatch):
    monkeypatch.setenv("MODELS", str(models))
    files = [events_file(31, name="a.root"), events_file(17, name="b.root", seed=2)]
    options = {"chunk_size": 3, "repeat": 2, "entries": (2, 45), "mode": "direct"}
    alone = run(load(flow), files, outputs(tmp_path, "one"), threads=1, **options)
    (tmp_path / "notes").unlink()
    told = []
    report = run(
        load(flow),
        files,
        outputs(tmp_path, "two"),
        processes=2,
        threads=3,
        streams=5,
        progress=lambda *at: told.append(at),
        **options,
    )
    assert same(tmp_path, "one", "two")
    assert (report.events, report.chunks, report.summaries) == (alone.events, alone.chunks, alone.summaries)
    assert [(module.name, module.calls, module.events, module.passed) for module in report.modules] == [
        (module.name, module.calls, module.events, module.passed) for module in alone.modules
    ]
    mine, theirs = (next(m.offload for m in made.modules if m.name == "Score") for made in (report, alone))
    assert (mine.requests, mine.rows, mine.batch_min, mine.batch_max, mine.server.rows) == (
        *(theirs.requests, theirs.rows, theirs.batch_min, theirs.batch_max, theirs.server.rows),
    )
    assert (report.processes, report.processes_lost, report.threads, report.streams) == (2, 0, 3, 5)
    assert {record.worker for record in report.records if record.module == "Work"} <= {0, 1, 2}
    assert all(record.start_ns >= 0 for record in report.records)
    assert told[-1] == (86, 86)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    # Each process has modules of its own, whose job and files begin and end.
    assert sorted(notes("begun")) == [[0, 2, 86], [1, 2, 86]]
    assert len(notes("done")) == 2
    assert sorted(notes("file")) == sorted(notes("ended"))
    assert sorted(x for seen in notes("x") for x in seen) == sorted([*range(2, 31), *range(14)] * 2)


def test_threads_and_streams_are_numbered_through_all_processes():
    records = (
        Record("jets", Phase.RUN, 3, 1, 1, 0, 5),
        Record("tagger", Phase.WAIT, 3, 1, -1, 5, 9),
        Record(SINK, Phase.RUN, 3, -1, 0, 9, 10),
    )
    sums = {"cut": 0, "together_ns": 0, "cpu_s": 0.0, "peak_rss_bytes": 1, "before": {}, "after": {}}
    share = Share((Account(calls=1), Account(calls=1)), records, **sums, used=(), by_fallback={})
    placed = _placed(share, 4, 8)
    assert [(record.worker, record.stream) for record in placed.records] == [(5, 9), (-1, 9), (4, -1)]
    assert [account.calls for account in placed.accounts] == [1, 0]  # the parent says what was written


def test_unordered_with_the_fallback_in_each_process(events_file, tmp_path, flow, models, monkeypatch):
    monkeypatch.setenv("MODELS", str(models))
    source = events_file(40)
    options = {"chunk_size": 4, "keep": ["x", "y", "Jet_score"]}
    run(load(flow), [source], tmp_path / "one.root", mode="direct", threads=1, **options)
    report = run(
        load(flow),
        [source],
        tmp_path / "two.root",
        processes=2,
        servers=["grpc://127.0.0.1:9"],
        ordered=False,
        **options,
    )
    assert report.by_fallback == 10
    columns = []
    for name in ("one", "two"):
        with uproot.open(tmp_path / f"{name}.root") as file:
            arrays = file["Events"].arrays(["x", "y", "Jet_score"], library="ak")
            columns.append(sorted(arrays.to_list(), key=lambda event: event["x"]))
    assert str(columns[0]) == str(columns[1])  # as text, since NaN is not NaN


def test_a_server_that_the_processes_share(events_file, tmp_path, flow, models, monkeypatch):
    monkeypatch.setenv("MODELS", str(models))
    source = events_file(40)
    with sonic.serve(models, grpc_port=0, http_port=0, metrics_port=0) as server:
        report = run(
            load(flow),
            [source],
            tmp_path / "o.root",
            processes=2,
            servers=[server.grpc_url],
            chunk_size=4,
            fallback=False,
        )
    (used,) = report.servers
    offload = next(module.offload for module in report.modules if module.offload)
    assert (used.completed, used.failed, report.by_fallback) == (10, 0, 0)
    assert (offload.requests, offload.server.rows) == (10, offload.rows)  # counted once, whoever asked


def test_a_failing_module_is_named_with_its_events(events_file, tmp_path, flow, fates):
    fates({13: ("raise", False)})
    with pytest.raises(
        ModuleError, match=r"^module Work failed on chunk 3, events.root entries 12:16: ValueError: no 13"
    ) as caught:
        run(load(flow), [events_file(40)], tmp_path / "o.root", processes=2, chunk_size=4)
    assert (caught.value.module, caught.value.where) == ("Work", "chunk 3, events.root entries 12:16")
    assert "Traceback" in caught.value.__notes__[0]
    assert not list(tmp_path.glob("o.*"))


def test_a_process_that_dies_ends_the_job(events_file, tmp_path, flow, fates):
    fates({22: ("kill", False)})
    complaint = (
        r"process \d of 2 was killed by SIGKILL \(out of memory\?\) while it worked on events.root entries \d+:\d+"
    )
    with pytest.raises(ProcessLost, match=complaint) as caught:
        run(load(flow), [events_file(40)], tmp_path / "o.root", processes=2, chunk_size=2)
    ranges = re.findall(r"(\d+):(\d+)", str(caught.value))
    assert 22 in [x for first, last in ranges for x in range(int(first), int(last))]
    assert not list(tmp_path.glob("o.*"))
    assert not psutil.Process().children(recursive=True) or all(
        "resource_tracker" in " ".join(child.cmdline()) for child in psutil.Process().children(recursive=True)
    )


def test_the_chunks_of_a_process_that_died_are_done_again(events_file, tmp_path, flow, fates, notes):
    source = events_file(40)
    run(load(flow), [source], outputs(tmp_path, "one"), chunk_size=2, threads=1)
    (tmp_path / "notes").unlink()
    fates({5: ("kill", True), 22: ("kill", True)})
    report = run(
        load(flow), [source], outputs(tmp_path, "two"), processes=2, chunk_size=2, on_error="retry:2", restart=True
    )
    assert report.processes_lost == 2
    assert (report.events, report.skipped) == (40, ())
    assert same(tmp_path, "one", "two")
    assert len(notes("begun")) == 4
    assert not list(tmp_path.glob("*.journal"))


def test_a_chunk_that_kills_every_process_is_left_out(events_file, tmp_path, flow, fates):
    fates({9: ("kill", False)})
    report = run(load(flow), [events_file(24)], tmp_path / "o.root", processes=2, chunk_size=2, on_error="skip")
    (failure,) = report.skipped
    assert (failure.module, failure.chunk, failure.start, failure.stop) == ("(process)", 4, 8, 10)
    assert failure.error == "the process was killed by SIGKILL (out of memory?)"
    with uproot.open(tmp_path / "o.root") as file:
        assert file["Events"]["x"].array().to_list() == [x for x in range(24) if x not in (8, 9)]


def test_processes_that_die_before_they_finish_anything(events_file, tmp_path, flow, monkeypatch):
    monkeypatch.setenv("DOOMED", "")
    monkeypatch.setattr("sonic.framework.processes.fleet._BARREN", 2)
    complaint = r"process \d of 2 was killed by SIGKILL .*, as did 3 before it, and none had finished a chunk"
    with pytest.raises(ProcessLost, match=complaint):
        run(load(flow), [events_file(400)], tmp_path / "o.root", processes=2, chunk_size=2, on_error="retry:9,skip")


def test_a_restart_goes_on_with_any_number_of_processes(events_file, tmp_path, flow, fates, notes, monkeypatch):
    source = events_file(40)
    run(load(flow), [source], outputs(tmp_path, "one"), chunk_size=2, threads=1)
    fates({30: ("kill", False)})
    with pytest.raises(ProcessLost):
        run(load(flow), [source], outputs(tmp_path, "two"), processes=2, chunk_size=2, restart=True)
    monkeypatch.delenv("FATES")
    (tmp_path / "notes").unlink()
    report = run(load(flow), [source], outputs(tmp_path, "two"), processes=1, chunk_size=2, restart=True)
    assert report.events_before > 0
    assert sum(map(len, notes("x"))) == 40 - report.events_before
    assert same(tmp_path, "one", "two")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_children_end_with_their_parent(events_file, tmp_path, flow, fates, notes, number):
    fates({20: ("mark", False)})
    words = ["run", flow, "-i", str(events_file(400)), "-o", "o.root", "-p", "2", "-t", "4", "--chunk-size", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "sonic", *words, "--repeat", "10000"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        while not (tmp_path / "met20.0").exists():
            assert process.poll() is None
        children = [psutil.Process(pid) for pid in notes("pid")]
        process.send_signal(number)
        assert process.wait(TIMEOUT_S) == {signal.SIGINT: 130, signal.SIGTERM: 143}.get(number, -number)
        assert psutil.wait_procs(children, TIMEOUT_S)[1] == []
        assert (
            process.stdout.read().decode()
            == {
                signal.SIGINT: "sonic: interrupted\n",
                signal.SIGTERM: "sonic: terminated\n",
                signal.SIGKILL: "",
            }[number]
        )
    finally:
        process.kill()
        process.communicate()
    if number != signal.SIGKILL:
        assert not list(tmp_path.glob("o.*"))


class Local(Producer):
    def __init__(self, what=None):
        self.what = what

    def produce(self, events):
        return {}


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"processes": 0}, "a job needs at least one process, got 0"),
        ({"processes": 3, "threads": 2}, "3 processes need at least as many threads and streams in all, got 2 and 4"),
        ({"processes": 3, "threads": 3, "streams": 2}, "3 processes need at least as many threads and streams"),
        ({"processes": 2, "client": object()}, "a client of your own is for one process"),
        ({"processes": 2, "threads": 2}, "workflow local cannot be sent to other processes: .*; in a file of its own"),
    ],
)
def test_settings_that_make_no_sense(events_file, tmp_path, options, complaint):
    with pytest.raises(ConfigError, match=complaint):
        run(Workflow("local", (Local(what=lambda: None),)), [events_file(4)], tmp_path / "o.root", **options)


TIMES = """
    from sonic.framework import Producer, Workflow


    class Times(Producer):
        consumes = ("x",)
        produces = ("y",)

        def __init__(self):
            self.factor = 1.0

        def produce(self, events):
            return {"y": self.factor * events.x}


    workflow = Workflow("times", (Times(),), keep=("x", "y"))
"""


def test_a_module_that_was_set_since_its_workflow_was_loaded_is_so_everywhere(events_file, tmp_path):
    (tmp_path / "times.py").write_text(dedent(TIMES))
    workflow = load(str(tmp_path / "times.py"))
    assert workflow.as_found
    workflow.modules[0].factor = 5.0
    assert not workflow.as_found
    run(workflow, [events_file(8)], tmp_path / "o.root", chunk_size=2, processes=2, threads=2)
    with uproot.open(tmp_path / "o.root") as file:
        arrays = file["Events"].arrays()
    assert arrays.y.to_list() == (5 * arrays.x).to_list()

    workflow.modules[0].factor = lambda: 5.0
    complaint = "workflow times cannot be sent to other processes: .*; unless it is as it was loaded"
    with pytest.raises(ConfigError, match=complaint):
        run(workflow, [events_file(8)], tmp_path / "p.root", processes=2, threads=2)


def test_a_workflow_that_cannot_be_made_again(events_file, tmp_path, monkeypatch):
    monkeypatch.setattr(Local, "__module__", "nowhere", raising=True)
    monkeypatch.setitem(sys.modules, "nowhere", sys.modules[__name__])
    with pytest.raises(ConfigError, match=r"the workflow cannot be made again in another process: .*nowhere"):
        run(Workflow("local", (Local(),)), [events_file(4)], tmp_path / "o.root", processes=2, threads=2)
    assert [path.name for path in tmp_path.iterdir()] == ["events.root"]
