from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from textwrap import dedent

import hist
import numpy as np
import pytest

from sonic.errors import ConfigError, ModuleError
from sonic.framework import Analyzer, Filter, Offload, Producer, Target, Workflow
from sonic.framework.job import run
from sonic.framework.restart import identity, open_journal
from sonic.framework.workflow import load
from sonic.testing.compare import differences

TIMEOUT_S = 60.0


class Until:
    """An event. What it is, is nothing that a job depends on."""

    def __init__(self, event):
        self.event = event


class Work(Producer):
    """Fails on the event `until`, and notes what it saw."""

    consumes = ("x",)
    produces = ("y",)

    def __init__(self, until=None):
        self.until, self.seen = Until(until), []

    def produce(self, events):
        if self.until.event in events.x:
            raise RuntimeError("out of time")
        self.seen += events.x.to_list()
        return {"y": 0.1 * events.x}


class HasJets(Filter):
    consumes = ("Jet_pt",)

    def select(self, events):
        return np.asarray([len(jets) > 0 for jets in events.Jet_pt], bool)


class Spectrum(Analyzer):
    consumes = ("x", "y")

    def analyze(self, events):
        return {"h": hist.Hist.new.Reg(10, 0, 40).Weight().fill(events.x, weight=events.y), "n": len(events)}


def flow(until=None):
    return Workflow("test", (Work(until), HasJets(), Spectrum()))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("until", [0, 1, 20, 39])
def test_a_job_goes_on_where_it_was(events_file, tmp_path, until, ordered):
    source = events_file(40)
    (tmp_path / "out").mkdir()
    outputs = [tmp_path / "out" / "a.root", Target(tmp_path / "out" / "b.parquet", ("y", "Jet_pt"), "pass")]
    options = {"chunk_size": 3, "restart": True, "ordered": ordered, "threads": 1 if ordered else 2}
    broken = flow(until)
    with pytest.raises(ModuleError, match="out of time"):
        run(broken, [source], outputs, **options)
    assert names(tmp_path / "out") in (["a.root.journal"], [])
    again = flow()
    report = run(again, [source], outputs, **options)
    assert names(tmp_path / "out") == ["a.root", "b.parquet"]
    assert report.events == 40
    assert len(again.modules[0].seen) == 40 - report.events_before
    assert set(broken.modules[0].seen) | set(again.modules[0].seen) == set(range(40))
    if ordered:
        run(
            flow(),
            [source],
            [tmp_path / "a.root", Target(tmp_path / "b.parquet", ("y", "Jet_pt"), "pass")],
            chunk_size=3,
        )
        assert differences(tmp_path / "a.root", tmp_path / "out" / "a.root") == []
        assert (tmp_path / "b.parquet").read_bytes() == (tmp_path / "out" / "b.parquet").read_bytes()
        assert report.totals["Spectrum"]["n"] > 0


def test_everything_was_finished_but_the_output_has_no_name(events_file, tmp_path, monkeypatch):
    source, out = events_file(9), tmp_path / "o.root"
    with monkeypatch.context() as patched:
        patched.setattr("sonic.framework.output.Output.commit", lambda *_: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            run(flow(), [source], out, chunk_size=2, restart=True)
    again = flow()
    report = run(again, [source], out, chunk_size=2, restart=True)
    assert (again.modules[0].seen, report.events_before) == ([], 9)
    run(flow(), [source], tmp_path / "other.root", chunk_size=2)
    assert differences(out, tmp_path / "other.root") == []


DOWN = """
    from pathlib import Path

    from sonic.framework import Producer, Workflow


    class Down(Producer):
        consumes = ("x",)

        def produce(self, events):
            if str(int(events.x[0])) in Path(__file__).with_name("down").read_text().split():
                raise RuntimeError("the server is down")
            return {}


    workflow = Workflow("down", (Down(),), keep=("x",))
"""


@pytest.mark.parametrize("processes", [1, 2])
def test_chunks_that_were_left_out_are_done_again_in_their_place(events_file, tmp_path, monkeypatch, processes):
    source = events_file(12)
    (tmp_path / "down.py").write_text(dedent(DOWN))

    def attempt(*down, out="o.root", **options):
        (tmp_path / "down").write_text(" ".join(map(str, down)))
        options |= {"chunk_size": 2, "on_error": "skip", "threads": 2, "processes": processes}
        return run(load(str(tmp_path / "down.py")), [source], tmp_path / out, **options)

    with pytest.raises(ModuleError, match="each of 6 chunks"):
        attempt(*range(12), restart=True)
    assert not (tmp_path / "o.root.journal").exists()
    for down in ((0, 4, 8), (4, 8)):
        with monkeypatch.context() as patched:
            patched.setattr("sonic.framework.output.Output.commit", lambda *_: os.kill(os.getpid(), signal.SIGINT))
            with pytest.raises(KeyboardInterrupt):
                attempt(*down, restart=True)
    report = attempt(restart=True)
    assert (report.events, report.events_before, report.skipped) == (12, 8, ())
    attempt(out="undisturbed.root")
    assert differences(tmp_path / "o.root", tmp_path / "undisturbed.root") == []


def test_another_job_does_not_go_on_with_it(events_file, tmp_path):
    source, out = events_file(9), tmp_path / "o.root"
    with pytest.raises(ModuleError):
        run(flow(4), [source], out, chunk_size=2, restart=True, threads=1, streams=1)  # earlier chunks are done
    with pytest.raises(ConfigError, match=r"o.root.journal is the journal of another job: chunk size was 2 and is 3"):
        run(flow(), [source], out, chunk_size=3, restart=True)
    with pytest.raises(ConfigError, match="outputs was"):
        run(flow(), [source], out, chunk_size=2, restart=True, keep=["x"])
    events_file(8)
    with pytest.raises(ConfigError, match="inputs was"):
        run(flow(), [source], out, chunk_size=2, restart=True)
    assert names(tmp_path) == ["events.root", "o.root.journal"]


class Scale(Producer):
    consumes = ("x",)
    produces = ("y",)

    def __init__(self, factor, until=None):
        self.factor, self.until = factor, Until(until)

    def begin_job(self, job):
        self.prepared = job.events

    def produce(self, events):
        if self.until.event in events.x:
            raise RuntimeError("out of time")
        return {"y": self.factor * events.x}


class Ask(Offload):
    model = "chain"

    def acquire(self, events):
        return {}

    def produce(self, events, outputs):
        return {}


def test_modules_of_other_settings_do_not_go_on_with_it(events_file, tmp_path):
    source, out = events_file(9), tmp_path / "o.root"
    options = {"chunk_size": 2, "restart": True, "threads": 1, "streams": 1}
    broken = Workflow("test", (Scale(1.0, until=4),))
    with pytest.raises(ModuleError):
        run(broken, [source], out, **options)
    with pytest.raises(ConfigError, match=r"journal of another job: Scale\.factor was 1\.0 and is 2\.0; remove it"):
        run(Workflow("test", (Scale(2.0),)), [source], out, **options)
    with pytest.raises(ConfigError, match=r"tree was 'Events' and is 'Runs'"):
        open_journal(identity(replace(broken, tree="Runs"), [], [], [], {}), [Target(out)])
    assert run(Workflow("test", (Scale(1.0),)), [source], out, **options).events_before == 4


def test_the_options_of_a_workflow_are_its_jobs(tmp_path):
    (tmp_path / "w.py").write_text(
        "from sonic.framework import Workflow\ndef workflow(*, a: int = 1): return Workflow('w', ())\n"
    )
    plain, given = (identity(load(str(tmp_path / "w.py"), with_), [], [], [], {}) for with_ in ([], ["a=2"]))
    assert (plain.pop("options"), given.pop("options")) == ([], ["a=2"])
    assert plain == given


def test_the_code_of_the_workflow_and_of_all_that_its_modules_are_made_of_is_its_jobs(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    files = {
        "basis.py": "from sonic.framework import Producer\nclass Base(Producer):\n    consumes = ('x',)\n",
        "cuts.py": "from basis import Base\nclass Cut(Base):\n    def produce(self, events): return {}\n",
        "w.py": "import cuts\nfrom sonic.framework import Workflow\nworkflow = Workflow('w', (cuts.Cut(),))\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    seen = [identity(load(str(tmp_path / "w.py")), [], [], [], {})]
    for name, text in files.items():
        (tmp_path / name).write_text(f"{text}# other\n")
        seen.append(identity(load(str(tmp_path / "w.py")), [], [], [], {}))
        assert seen[-1]["the modules' code"] not in [job["the modules' code"] for job in seen[:-1]], name


def test_the_files_of_its_models_are_too(tmp_path):
    (tmp_path / "part" / "1").mkdir(parents=True)
    (tmp_path / "chain" / "1").mkdir(parents=True)
    (tmp_path / "chain" / "config.pbtxt").write_text('ensemble_scheduling { step { model_name: "part" } }')
    (tmp_path / "unused" / "1").mkdir(parents=True)

    def job():
        return identity(Workflow("test", (Ask(),), models=tmp_path), [], [], [], {})

    seen = [job()]
    for file in ("part/1/model.onnx", "part/1/model.onnx", "chain/config.pbtxt"):
        (tmp_path / file).write_text(f'ensemble_scheduling {{ step {{ model_name: "part" }} }} # {len(seen)}')
        seen.append(job())
        assert seen[-1] not in seen[:-1]
    (tmp_path / "unused" / "1" / "model.onnx").touch()
    assert job() == seen[-1]
    assert identity(Workflow("test", (Ask(),), models=tmp_path / "none"), [], [], [], {})


def test_without_an_output(events_file):
    with pytest.raises(ConfigError, match="a job can be restarted only if it has an output"):
        run(flow(), [events_file(9)], restart=True)


KILLED = """
    import os, signal
    from pathlib import Path

    from sonic.framework import Producer, Workflow


    class Dies(Producer):
        consumes = ("x",)

        def produce(self, events):
            if events.x[0] in (8, 14) and not Path(f"died{events.x[0]}").exists():
                Path(f"died{events.x[0]}").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return {}


    workflow = Workflow("dies", (Dies(),), keep=("x", "Jet_*"))
"""


def test_killed_in_mid_run(events_file, tmp_path):
    source = events_file(20)
    (tmp_path / "dies.py").write_text(dedent(KILLED))
    words = [sys.executable, "-m", "sonic", "run", "dies.py", "-i", str(source), "--chunk-size", "2", "-q", "-t", "1"]

    def attempt(*more):
        done = subprocess.run(
            [*words, *more], cwd=tmp_path, timeout=TIMEOUT_S, check=False, capture_output=True, text=True
        )
        return done.returncode, done.stderr

    codes = [attempt("-o", "o.root", "--restart") for _ in range(3)]
    assert codes == [(-signal.SIGKILL, ""), (-signal.SIGKILL, ""), (0, "")]
    assert attempt("-o", "undisturbed.root") == (0, "")
    assert differences(tmp_path / "o.root", tmp_path / "undisturbed.root") == []
    assert not list(tmp_path.glob("*.part"))
    assert not list(tmp_path.glob("*.journal"))
