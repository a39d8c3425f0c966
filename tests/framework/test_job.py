"""Whole jobs: with a model that the test answers for, and with a real one in every way that it can be reached."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import awkward as ak
import hist
import numpy as np
import pytest
import uproot

import sonic
from sonic.client.fallback import Fallback, ServeProcess
from sonic.errors import ConfigError, DataError, ModelNotFound, ModuleError, OutputError, Unavailable, WorkflowError
from sonic.framework import Analyzer, Filter, Offload, Producer, Target, Workflow
from sonic.framework.job import run
from sonic.framework.sinks.base import Sink
from sonic.protocol.recording import decode, spans
from sonic.specs import DType, ModelSpec, TensorSpec
from sonic.testing.compare import differences

TIMEOUT_S = 20.0


class Kinematics(Producer):
    consumes = ("Jet_pt", "Jet_eta")
    produces = ("Jet_pz", "ht")

    def produce(self, events):
        return {"Jet_pz": events.Jet_pt * np.sinh(events.Jet_eta), "ht": ak.sum(events.Jet_pt, axis=1)}


class Score(Offload):
    """One row a jet; the model sees pt and eta."""

    model = "scorer"
    consumes = ("Jet_pt", "Jet_eta")
    produces = ("Jet_score",)

    def acquire(self, events):
        columns = [ak.to_numpy(ak.flatten(events[f"Jet_{name}"])) for name in ("pt", "eta")]
        return {"x": np.stack(columns, axis=1).astype(np.float32)}

    def produce(self, events, outputs):
        return {"Jet_score": ak.unflatten(outputs["y"][:, 0], ak.num(events.Jet_pt))}


class HasJets(Filter):
    consumes = ("Jet_pt",)

    def select(self, events):
        return ak.num(events.Jet_pt) > 0


class Spectra(Analyzer):
    consumes = ("Jet_score", "ht")

    def analyze(self, events):
        return {
            "ht": hist.Hist.new.Reg(10, 0, 400).Double().fill(events.ht),
            "score": hist.Hist.new.Reg(10, 0, 1).Double().fill(ak.flatten(events.Jet_score)),
            "events": len(events),
        }

    def summarize(self, total):
        return {"events": total["events"]}


MODULES = (Kinematics(), HasJets(), Score(), Spectra())


class FakeScorer:
    """Stands in for the model: the sum of each row, at once."""

    def __init__(self):
        x, y = TensorSpec("x", DType.FP32, (-1, 2)), TensorSpec("y", DType.FP32, (-1, 1))
        self.spec = ModelSpec("scorer", "1", (x,), (y,), 100)
        self.rows = []

    def model(self, name, version="", outputs=()):
        return self

    def submit(self, x):
        self.rows.append(len(x))
        future = Future()
        future.set_result({"y": x.sum(axis=1, keepdims=True)})
        return future

    def statistics(self):
        raise Unavailable("no statistics here")


@pytest.fixture
def fake():
    return FakeScorer()


def workflow_with(models=None, modules=MODULES, keep=("run", "x", "nJet", "Jet_*", "ht")):
    return Workflow("test", modules, keep, models)


# With a fake model


def test_a_workflow_says_how_many_events_a_chunk_has(events_file, fake):
    workflow = replace(workflow_with(), chunk_size=7)
    assert run(workflow, [events_file(20)], client=fake).chunks == 3
    assert run(workflow, [events_file(20)], client=fake, chunk_size=20).chunks == 1
    assert run(workflow_with(), [events_file(20)], client=fake).chunk_size == 100


@pytest.mark.parametrize("chunk_size", [1, 3, 100])
@pytest.mark.parametrize("offload_mode", ["async", "sync", "pseudo_async"])
def test_the_output_has_what_was_asked_for(events_file, tmp_path, fake, chunk_size, offload_mode):
    source = events_file(20)
    report = run(
        workflow_with(), [source], tmp_path / "out.root", client=fake, chunk_size=chunk_size, offload_mode=offload_mode
    )
    with uproot.open(source) as file:
        before = file["Events"].arrays()
    with uproot.open(tmp_path / "out.root") as file:
        after = file["Events"].arrays()
        about = json.loads(file["sonic"])
        spectra = file["Spectra/ht"].values(flow=True)
    for name in ("run", "x", "Jet_pt", "Jet_eta"):
        assert after[name].to_list() == before[name].to_list()
    has_jets = ak.num(before.Jet_pt) > 0
    assert after.HasJets.to_list() == has_jets.to_list()
    expected = before.Jet_pt + before.Jet_eta
    assert ak.all(abs(after.Jet_score - expected) < 1e-4, axis=None)
    assert after.ht.to_list() == ak.sum(before.Jet_pt, axis=1).to_list()
    assert spectra.sum() == ak.sum(has_jets)
    assert about["events"] == report.events_written == report.events == 20
    assert about["inputs"] == ["events.root"]
    assert report.totals["Spectra"]["events"] == ak.sum(has_jets)
    assert report.summaries == {"Spectra": {"events": int(ak.sum(has_jets))}}
    assert sum(fake.rows) == ak.sum(ak.num(before.Jet_pt))


def test_only_events_that_pass(events_file, tmp_path, fake):
    source = events_file(20)
    report = run(workflow_with(), [source], tmp_path / "o.root", client=fake, chunk_size=3, filter_output="pass")
    with uproot.open(source) as file:
        before = file["Events"].arrays()
    passing = before[ak.num(before.Jet_pt) > 0]
    with uproot.open(tmp_path / "o.root") as file:
        after = file["Events"].arrays()
        assert json.loads(file["sonic"]) == {
            "events": len(passing),
            "events_read": 20,
            "inputs": ["events.root"],
            "sonic": sonic.__version__,
            "workflow": "test",
        }
    assert "HasJets" not in after.fields
    assert after.x.to_list() == passing.x.to_list()
    assert report.events_written == len(passing) < report.events == 20


def test_a_parquet_file(events_file, tmp_path, fake):
    run(workflow_with(), [events_file(20)], tmp_path / "o.parquet", client=fake, chunk_size=3)
    run(workflow_with(), [events_file(20)], tmp_path / "o.root", client=fake, chunk_size=3)
    rows = ak.from_parquet(tmp_path / "o.parquet")
    with uproot.open(tmp_path / "o.root") as file:
        assert rows.Jet_score.to_list() == file["Events"]["Jet_score"].array().to_list()


def test_several_outputs_each_with_its_own_choice(events_file, tmp_path, fake):
    outputs = [
        Target(tmp_path / "all.root"),
        Target(tmp_path / "jets.parquet", ("Jet_*",), "pass"),
        tmp_path / "same.root",
    ]
    report = run(workflow_with(), [events_file(20)], outputs, client=fake, chunk_size=3, ordered=False)
    alone = run(
        workflow_with(), [events_file(20)], tmp_path / "a.parquet", client=fake, keep=["Jet_*"], filter_output="pass"
    )
    one, other = (sorted(ak.from_parquet(tmp_path / name).Jet_pz.to_list()) for name in ("jets.parquet", "a.parquet"))
    assert one == other
    with uproot.open(tmp_path / "all.root") as file:
        assert sorted(file["Events"]["x"].array()) == list(range(20))
        assert file["Spectra/ht"].values().sum() > 0
    assert differences(tmp_path / "all.root", tmp_path / "same.root") == []
    assert [Path(output.path).name for output in report.outputs] == ["all.root", "jets.parquet", "same.root"]
    assert [output.events for output in report.outputs] == [20, alone.events_written, 20]
    assert report.events_written == 40 + alone.events_written


def test_a_slow_output_holds_the_source_back(events_file, tmp_path, fake, monkeypatch):
    held, arrived = threading.Event(), threading.Event()
    write, read = Sink.write, []

    def slow(sink, columns, events):
        if sink.path.name == "slow.parquet":
            arrived.set()
            assert held.wait(TIMEOUT_S)
        write(sink, columns, events)

    class Reads(Producer):
        def produce(self, events):
            read.append(len(events))
            return {}

    monkeypatch.setattr(Sink, "write", slow)
    outputs = [tmp_path / "fast.root", tmp_path / "slow.parquet"]
    options = {"chunk_size": 1, "threads": 2, "streams": 2}
    job = threading.Thread(
        target=lambda: run(workflow_with(modules=(Reads(),), keep=("x",)), [events_file(50)], outputs, **options)
    )
    job.start()
    try:
        assert arrived.wait(TIMEOUT_S)
    finally:
        before = len(read)
        held.set()
        job.join(TIMEOUT_S)
    assert before <= 4  # two streams, and a window of two
    assert sum(read) == 50
    assert ak.from_parquet(tmp_path / "slow.parquet").x.to_list() == list(range(50))


def test_an_output_given_twice(events_file, tmp_path, fake):
    (tmp_path / "link.root").symlink_to(tmp_path / "o.root")
    with pytest.raises(ConfigError, match=r"output .*link.root is given twice"):
        run(workflow_with(), [events_file(5)], [tmp_path / "o.root", tmp_path / "link.root"], client=fake)
    with pytest.raises(ConfigError, match="cannot tell the format"):
        run(workflow_with(), [events_file(5)], [tmp_path / "o.root", tmp_path / "o.csv"], client=fake)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["events.root", "link.root"]


def test_an_empty_input_gives_an_empty_output_with_its_branches(events_file, tmp_path, fake):
    full, empty = tmp_path / "full.root", tmp_path / "empty.root"
    run(workflow_with(), [events_file(20)], full, client=fake)
    report = run(workflow_with(), [events_file(0, name="none.root")], empty, client=fake)
    with uproot.open(full) as one, uproot.open(empty) as other:
        assert other["Events"].num_entries == 0
        assert other["Events"].typenames() == one["Events"].typenames()
        assert other["Spectra/ht"].values().sum() == 0
    assert (report.events, report.events_written, report.chunks) == (0, 0, 1)


def test_no_event_passes(events_file, tmp_path, fake):
    class Nothing(Filter):
        def select(self, events):
            return np.zeros(len(events), bool)

    modules = (Nothing(), *MODULES)
    run(workflow_with(modules=modules), [events_file(7)], tmp_path / "o.root", client=fake, filter_output="pass")
    run(workflow_with(modules=modules), [events_file(7)], tmp_path / "m.root", client=fake, chunk_size=2)
    with uproot.open(tmp_path / "o.root") as file:
        assert file["Events"].num_entries == 0
        assert "Jet_score" in file["Events"]
    with uproot.open(tmp_path / "m.root") as file:
        assert file["Events"].num_entries == 7
        assert not ak.any(file["Events"]["Nothing"].array())


def test_ranges_repeats_and_files(events_file, tmp_path, fake):
    files = [events_file(5, name="a.root", seed=1), events_file(4, name="b.root", seed=2)]
    report = run(
        workflow_with(),
        files,
        tmp_path / "o.root",
        client=fake,
        entries=(3, 7),
        repeat=2,
        chunk_size=10,
        keep=("x", "run"),
    )
    with uproot.open(tmp_path / "o.root") as file:
        assert sorted(file["Events"].keys()) == ["HasJets", "run", "x"]
        assert file["Events"]["x"].array().to_list() == [3, 4, 0, 1] * 2
        assert file["Events"]["run"].array().to_list() == [1, 1, 2, 2] * 2
    assert (report.events, report.chunks, report.repeat) == (8, 4, 2)


def test_results_do_not_depend_on_threads_and_streams(events_file, tmp_path, fake):
    source = events_file(60)
    reports = [
        run(workflow_with(), [source], tmp_path / f"{n}.root", client=fake, threads=n, streams=2 * n, chunk_size=2)
        for n in (1, 3)
    ]
    assert differences(tmp_path / "1.root", tmp_path / "3.root") == []
    one, other = (report.totals["Spectra"] for report in reports)
    assert one["ht"] == other["ht"]
    assert one["score"] == other["score"]


def test_without_an_output(events_file, fake):
    report = run(workflow_with(), [events_file(5)], client=fake)
    assert report.outputs == ()
    assert report.totals["Spectra"]["events"] == report.summaries["Spectra"]["events"]


def test_the_report(events_file, tmp_path, fake):
    told = []
    report = run(
        workflow_with(),
        [events_file(20)],
        tmp_path / "o.root",
        client=fake,
        threads=2,
        streams=3,
        chunk_size=5,
        progress=lambda *at: told.append(at),
    )
    assert told == [(5, 20), (10, 20), (15, 20), (20, 20)]
    assert [module.name for module in report.modules] == [
        "(source)",
        "Kinematics",
        "HasJets",
        "Score",
        "Spectra",
        "(sink)",
    ]
    assert [module.calls for module in report.modules] == [4] * 6
    score = report.modules[3]
    assert score.offload.requests == 4
    assert score.offload.rows == sum(fake.rows)
    assert score.offload.bytes_sent == 8 * sum(fake.rows)
    assert score.offload.bytes_received == 4 * sum(fake.rows)
    assert score.offload.server is None
    assert report.modules[2].passed == score.events < report.modules[2].events == 20
    assert report.events_per_s > 0
    assert report.peak_rss_bytes > 1 << 20
    assert {"sonic", "python", "numpy", "awkward", "uproot"} <= report.versions.keys()
    assert report.records_kept == len(report.records) > 0
    assert json.loads(report.to_json())["modules"][3]["offload"]["rows"] == sum(fake.rows)


def test_names_of_files_that_are_no_utf8(events_file, tmp_path, fake):
    out = tmp_path / "out\udcff.root"
    report = run(workflow_with(), [events_file(4, name="in\udcff.root")], out, client=fake)
    with uproot.open(out) as file:
        assert json.loads(file["sonic"])["inputs"] == [r"in\udcff.root"]
    told = json.loads(report.to_json())
    assert told["inputs"] == [str(tmp_path / r"in\udcff.root")]
    assert told["outputs"] == [{"path": str(tmp_path / r"out\udcff.root"), "events": 4}]


def test_optional_inputs(events_file, tmp_path):
    class Maybe(Producer):
        consumes = ("x",)
        optional = ("Jet_eta", "nothing")
        produces = ("has_eta",)

        def produce(self, events):
            assert "nothing" not in events.fields
            return {"has_eta": np.full(len(events), "Jet_eta" in events.fields)}

    files = [events_file(2, name="a.root"), events_file(2, name="b.root", without="Jet_eta")]
    run(workflow_with(modules=(Maybe(),), keep=("has_eta",)), files, tmp_path / "o.root")
    with uproot.open(tmp_path / "o.root") as file:
        assert file["Events"]["has_eta"].array().to_list() == [True, True, False, False]


# What goes wrong


@pytest.mark.parametrize(
    ("options", "error", "complaint"),
    [
        ({"mode": "remote"}, ConfigError, "mode 'remote': expected service or direct"),
        ({"filter_output": "some"}, ConfigError, "filter output 'some': expected mask or pass"),
        ({"offload_mode": "lazy"}, ConfigError, "offload mode 'lazy': expected sync, async or pseudo_async"),
        ({"on_error": "ignore"}, ConfigError, "on error 'ignore': expected stop, skip, retry:N or retry:N,skip"),
        ({"threads": 0}, ConfigError, "at least one thread and one stream, got 0 and 0"),
        ({"streams": 0}, ConfigError, "at least one thread and one stream"),
        ({"mode": "direct", "servers": ["grpc://h:1"]}, ConfigError, "mode direct calls no server"),
        (
            {"mode": "direct", "fallback": "models"},
            ConfigError,
            "mode direct calls no server, and has no use for a fall",
        ),
        ({"keep": ["Jet_ptt"]}, DataError, "cannot keep 'Jet_ptt'.*similar: Jet_pt"),
        ({"client": None}, ConfigError, "workflow test has no models of its own: name a server"),
        ({"client": None, "mode": "direct"}, ConfigError, "workflow test has no models of its own"),
    ],
)
def test_settings_that_make_no_sense(events_file, tmp_path, fake, options, error, complaint):
    with pytest.raises(error, match=complaint):
        run(workflow_with(), [events_file(5)], tmp_path / "o.root", **{"client": fake} | options)
    assert [path.name for path in tmp_path.iterdir()] == ["events.root"]


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"inputs": "events.root"}, "inputs is a sequence, given the one 'events.root'"),
        ({"inputs": Path("events.root")}, "inputs is a sequence, given the one 'events.root'"),
        ({"servers": "grpc://h:1"}, "servers is a sequence, given the one 'grpc://h:1'"),
        ({"keep": "Jet_*"}, "keep is a sequence, given the one"),
        ({"workflow": "miniaod"}, "expected a Workflow, given 'miniaod': sonic.framework.workflow.load makes one"),
        ({"workflow": workflow_with}, "expected a Workflow, given <function workflow_with"),
    ],
)
def test_one_where_several_belong_and_a_name_where_a_workflow_does(given, complaint):
    with pytest.raises(ConfigError, match=re.escape(complaint)):
        run(**{"workflow": workflow_with(), "inputs": ["events.root"]} | given)


def test_an_output_that_is_an_input(events_file, fake):
    path = events_file(5)
    with pytest.raises(ConfigError, match=r"output .*events.root is also an input"):
        run(workflow_with(), [path], path, client=fake)
    assert uproot.open(path)["Events"].num_entries == 5


def test_a_branch_that_is_not_there(events_file, tmp_path, fake):
    with pytest.raises(DataError) as caught:
        run(workflow_with(), [events_file(5, without="Jet_eta")], tmp_path / "o.root", client=fake)
    assert str(caught.value).startswith(
        "events.root, tree Events has no branch 'Jet_eta', and no module makes it; needed"
    )
    assert "Kinematics, Score" in str(caught.value)


def test_a_module_with_a_mode_that_there_is_not(events_file, fake):
    class Odd(Score):
        mode = "sometimes"

    with pytest.raises((ConfigError, WorkflowError), match="module Odd: mode 'sometimes': expected sync, async or"):
        run(workflow_with(modules=(Odd(),)), [events_file(5)], client=fake)


class Fails(Producer):
    consumes = ("x",)

    def produce(self, events):
        if events.x[0] >= 4:
            raise RuntimeError("no calibration")
        return {}


def test_nothing_is_left_when_a_module_fails(events_file, tmp_path, fake):
    before = threading.active_count()
    with pytest.raises(ModuleError) as caught:
        run(
            workflow_with(modules=(Fails(), *MODULES)), [events_file(9)], tmp_path / "o.root", client=fake, chunk_size=2
        )
    assert str(caught.value) == (
        "module Fails failed on chunk 2, events.root entries 4:6: RuntimeError: no calibration"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["events.root"]
    assert threading.active_count() <= before


def test_chunks_that_fail_are_left_out_and_listed(events_file, tmp_path, fake):
    class Picky(Fails):
        produces = ()

        def produce(self, events):
            if 4 in events.x or 8 in events.x:
                raise RuntimeError("no calibration")
            return {}

    modules = (Picky(), *MODULES)
    report = run(
        workflow_with(modules=modules),
        [events_file(9)],
        tmp_path / "o.root",
        client=fake,
        chunk_size=2,
        on_error="skip",
    )
    with uproot.open(tmp_path / "o.root") as file:
        assert file["Events"]["x"].array().to_list() == [0, 1, 2, 3, 6, 7]
        assert json.loads(file["sonic"])["events_skipped"] == 3
    assert [(failure.chunk, failure.start, failure.stop) for failure in report.skipped] == [(2, 4, 6), (4, 8, 9)]
    assert json.loads(report.to_json())["skipped"][0]["error"] == "RuntimeError: no calibration"
    assert (report.events, report.events_written) == (9, 6)


def test_a_module_that_fails_on_every_chunk_fails_the_job(events_file, tmp_path, fake):
    class Never(Producer):
        def produce(self, events):
            raise RuntimeError("no calibration")

    with pytest.raises(ModuleError, match="module Never failed on each of 5 chunks: RuntimeError: no calibration"):
        run(
            workflow_with(modules=(Never(),), keep=("x",)),
            [events_file(9)],
            tmp_path / "o.root",
            chunk_size=2,
            on_error="retry:1,skip",
        )
    assert [path.name for path in tmp_path.iterdir()] == ["events.root"]


def test_nothing_is_left_after_ctrl_c(events_file, tmp_path, fake):
    def interrupt(done, total):
        if done == 4:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(
            workflow_with(),
            [events_file(9)],
            tmp_path / "o.root",
            client=fake,
            chunk_size=2,
            repeat=100_000,
            progress=interrupt,
        )
    assert [path.name for path in tmp_path.iterdir()] == ["events.root"]


def test_a_histogram_that_cannot_be_stored_is_known_at_the_first_chunk(events_file, tmp_path, fake):
    class Deep(Analyzer):
        def analyze(self, events):
            return hist.Hist.new.Reg(2, 0, 1).Reg(2, 0, 1).Reg(2, 0, 1).Reg(2, 0, 1).Double()

    told = []
    with pytest.raises(OutputError, match="histogram Deep cannot be stored in a ROOT file"):
        run(
            workflow_with(modules=(Deep(),), keep=("x",)),
            [events_file(9)],
            tmp_path / "o.root",
            chunk_size=1,
            progress=lambda *at: told.append(at),
        )
    assert told == []


# With a real model


@pytest.fixture(scope="module")
def server(models):
    with ServeProcess([str(models)]) as child:
        yield child


def test_every_route_gives_the_same_bits(events_file, tmp_path, models, server):
    source, flow = events_file(50), workflow_with(models)
    routes = {
        "direct": {"mode": "direct"},
        "remote": {"servers": [server.grpc_url], "fallback": False},
        "sync": {"servers": [server.grpc_url], "offload_mode": "sync", "threads": 1},
        "pseudo": {"servers": [server.grpc_url], "offload_mode": "pseudo_async"},
        "fallback": {"servers": ["grpc://127.0.0.1:9"]},
        "child": {"servers": ["grpc://127.0.0.1:9"], "fallback": Fallback(str(models), "child")},
        "own": {},
    }
    reports = {
        name: run(flow, [source], tmp_path / f"{name}.root", chunk_size=7, **options)
        for name, options in routes.items()
    }
    for name in routes:
        assert differences(tmp_path / "direct.root", tmp_path / f"{name}.root") == []
    assert reports["direct"].external_s == 0
    assert [reports[name].by_fallback for name in ("direct", "remote", "fallback", "child")] == [0, 0, 8, 8]
    remote = reports["remote"].modules[3].offload
    assert remote.requests == 8 >= remote.server.executions > 0
    assert remote.server.rows == remote.rows
    assert [(use.url, use.completed, use.failed) for use in reports["remote"].servers] == [(server.grpc_url, 8, 0)]
    named_by = {name: reports[name].servers_named_by for name in ("direct", "remote", "fallback", "own")}
    assert named_by == {"direct": "", "remote": "given", "fallback": "given", "own": "own"}


def test_the_requests_of_a_job_are_kept(events_file, tmp_path, models, server, monkeypatch):
    monkeypatch.setenv("SONIC_CLIENT_RECORD", str(tmp_path / "requests"))
    source = events_file(50)
    report = run(workflow_with(models), [source], servers=[server.grpc_url], fallback=False, chunk_size=7)
    data = (tmp_path / "requests").read_bytes()
    found, rest = spans(data)
    kept = [decode(data[begin:end])[0] for begin, end in found]
    assert rest == 0
    assert len(kept) == report.modules[3].offload.requests == 8
    assert sum(len(next(iter(request.inputs.values()))) for request in kept) == report.modules[3].offload.rows


@pytest.mark.parametrize("named_by", ["site", "settings", "site and settings"])
def test_servers_that_nobody_gave(events_file, tmp_path, models, server, monkeypatch, named_by):
    host, port = server.grpc_url.removeprefix("grpc://").split(":")
    nobody = "grpc://127.0.0.1:9"
    if "site" in named_by:
        monkeypatch.setenv("SONIC_LOCAL_BALANCER_HOST", host)
        monkeypatch.setenv("SONIC_LOCAL_BALANCER_PORT", port)
    if "settings" in named_by:
        monkeypatch.setenv("SONIC_CLIENT_SERVERS", nobody if "site" in named_by else server.grpc_url)
    flow, source = workflow_with(models), events_file(10)
    report = run(flow, [source], tmp_path / "o.root", fallback=False, threads=1)
    assert (report.servers_named_by, report.by_fallback) == (named_by, 0)
    assert (report.servers[0].url, report.servers[0].completed) == (server.grpc_url, 1)
    assert [use.url for use in report.servers[1:]] == ([nobody] if named_by == "site and settings" else [])
    assert report.streams == 8  # as for any server that is not the job's own
    assert json.loads(report.to_json())["servers_named_by"] == named_by


def test_an_announced_server_that_is_down_and_jobs_that_need_none(events_file, tmp_path, models, monkeypatch):
    monkeypatch.setenv("SONIC_LOCAL_BALANCER_HOST", "127.0.0.1")
    monkeypatch.setenv("SONIC_LOCAL_BALANCER_PORT", "9")
    flow, source = workflow_with(models), events_file(10)
    report = run(flow, [source], tmp_path / "o.root")
    assert (report.servers_named_by, report.by_fallback) == ("site", 1)
    assert run(flow, [source], tmp_path / "o.root", mode="direct").servers_named_by == ""
    plain = Workflow("plain", [Kinematics()])
    assert run(plain, [source], tmp_path / "o.root", threads=1).streams == 2
    with pytest.raises(Unavailable, match=r"module Score: .*127.0.0.1:9"):
        run(flow, [source], tmp_path / "o.root", fallback=False)


def test_a_job_has_as_many_threads_as_it_may_use_cores(events_file, monkeypatch):
    monkeypatch.setattr("sonic.framework.job.available_cores", lambda: 3)  # the quota of a container, say
    report = run(Workflow("plain", (Kinematics(),)), [events_file(3)])
    assert (report.threads, report.streams) == (3, 6)


def test_a_server_without_the_model_is_not_said_to_have_run_it(events_file, models):
    @sonic.service(inputs={"x": "FP64[-1]"}, outputs={"x": "FP64[-1]"})
    def another(x):
        return x

    with sonic.serve(another) as elsewhere:
        report = run(workflow_with(models), [events_file(10)], servers=[elsewhere.grpc_url], chunk_size=5)
    assert report.by_fallback == report.modules[3].offload.requests == 2
    assert report.fallback_models == {report.modules[3].offload.model: 2}
    assert report.servers[0].completed == 0


@pytest.mark.parametrize("mode", ["service", "direct"])
def test_requests_that_nobody_answered_are_not_said_to_be_the_fallback_s(events_file, models, server, mode):
    class Narrow(Score):
        def acquire(self, events):
            inputs = super().acquire(events)
            return inputs if events.x[0] else {"x": inputs["x"][:, :1]}  # of the first chunk, which fails

    Narrow.consumes = ("Jet_pt", "Jet_eta", "x")
    flow = workflow_with(models, (Narrow(),), keep=("Jet_score",))
    servers = [server.grpc_url] if mode == "service" else ()
    report = run(flow, [events_file(20)], servers=servers, mode=mode, chunk_size=5, on_error="retry:1,skip")
    assert [failure.chunk for failure in report.skipped] == [0]
    assert report.modules[1].offload.requests == 5
    assert (report.servers[0].completed, report.by_fallback) == (3, 0)


def test_a_model_that_is_absent_or_wrong_or_gives_nan(events_file, tmp_path, models):
    def with_model(name):
        class Other(Score):
            model = name

        return workflow_with(models, (Other(),), keep=("Jet_score",))

    def attempt(name):
        run(with_model(name), [events_file(5)], tmp_path / "o.root", mode="direct")

    with pytest.raises(ModelNotFound, match=r"module Other: .*absent"):
        attempt("absent")
    with pytest.raises(ModuleError, match=r"module Other failed on chunk 0, events.root entries 0:5: .*x.*5"):
        attempt("wrong")
    with pytest.raises(ModuleError, match=r"model nan gave .* values of output 'y' as NaN or infinity"):
        attempt("nan")
    assert not (tmp_path / "o.root").exists()
    assert list(tmp_path.glob("*.part")) == []


def test_no_server_and_no_fallback(events_file, tmp_path, models):
    with pytest.raises(Unavailable, match=r"module Score: .*127.0.0.1:9") as caught:
        run(
            workflow_with(models), [events_file(5)], tmp_path / "o.root", servers=["grpc://127.0.0.1:9"], fallback=False
        )
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("fallback", [False, True])
def test_a_server_that_dies_in_mid_run(events_file, tmp_path, models, fallback):
    source, flow = events_file(50), workflow_with(models)
    options = {"chunk_size": 5, "repeat": 20, "threads": 2, "streams": 4}
    child = ServeProcess([str(models)])

    def kill(done, total):
        if done == 5:
            os.kill(child.pid, signal.SIGKILL)

    def attempt():
        return run(
            flow,
            [source],
            tmp_path / "o.root",
            servers=[child.grpc_url],
            fallback=fallback,
            progress=kill,
            **options,
        )

    try:
        if fallback:
            report = attempt()
            assert report.by_fallback > 0
            run(flow, [source], tmp_path / "direct.root", mode="direct", **options)
            assert differences(tmp_path / "o.root", tmp_path / "direct.root") == []
        else:
            with pytest.raises(ModuleError, match=r"module Score failed on chunk \d+, events.root entries") as caught:
                attempt()
            assert "\n" not in str(caught.value)
            assert not (tmp_path / "o.root").exists()
            assert list(tmp_path.glob("*.part")) == []
    finally:
        child.close()
