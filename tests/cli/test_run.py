from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from textwrap import dedent

import numpy as np
import pytest
import uproot
from typer.testing import CliRunner

from sonic.cli import app
from sonic.cli.run import expand
from sonic.errors import OutputError
from sonic.files import replacing
from sonic.framework import Report
from sonic.framework import job as framework_job

TIMEOUT_S = 60.0
LONG = f"{'x' * 300}.py"
INPUTS = {"--input", "-i", "--keep"}

WORKFLOW = """
    import sys

    from sonic.framework import Analyzer, Filter, Producer, Workflow


    class Double(Producer):
        consumes = ("x",)
        produces = ("y",)

        def produce(self, events):
            return {"y": 2 * events.x}


    class Large(Filter):
        consumes = ("y",)

        def select(self, events):
            return events.y >= 8


    class Count(Analyzer):
        consumes = ("x",)

        def analyze(self, events):
            return len(events)

        def summarize(self, total):
            return {"events that pass": total}


    workflow = Workflow("mine", (Double(), Large(), Count()), keep=("x", "y"))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to work in, with a workflow and two files of six events."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(dedent(WORKFLOW))
    for name in ("a.root", "b.root"):
        with uproot.recreate(tmp_path / name) as file:
            file.mktree("Events", {"x": "float64", "unused": "int32"}).extend(
                {"x": np.arange(6.0), "unused": np.zeros(6, np.int32)}
            )
    return tmp_path


def sonic(*words):
    return CliRunner().invoke(app, ["run", *words])


def started(*words):
    """Run it as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "sonic", "run", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def x_of(path):
    with uproot.open(path) as file:
        return file["Events"]["x"].array().to_list()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["w", "--input", "a", "b", "--output", "o"], ["w", "--input", "a", "--input", "b", "--output", "o"]),
        (["w", "-i", "a", "b"], ["w", "-i", "a", "-i", "b"]),
        (["--input=a", "b", "-q"], ["--input=a", "--input", "b", "-q"]),
        (["--input", "a", "--input", "b"], ["--input", "a", "--input", "b"]),
        (["--input", "a", "--keep", "x", "y"], ["--input", "a", "--keep", "x", "--keep", "y"]),
        (["--input", "a", "--", "b"], ["--input", "a", "--", "b"]),
        (["--input", "-", "b"], ["--input", "-", "--input", "b"]),
        (["--input"], ["--input"]),
        (["--input", "--", "b"], ["--input", "--", "b"]),
        (["--input", "--output", "o"], ["--input", "--output", "o"]),
        (["--output", "o", "w"], ["--output", "o", "w"]),
        ([], []),
    ],
)
def test_several_values_after_one_option(given, expected):
    assert expand(given, INPUTS) == expected


def test_a_run(folder):
    done = sonic("mine.py", "--input", "a.root", "b.root", "--output", "o.root", "--chunk-size", "4", "--threads", "1")
    assert done.exit_code == 0, done.output
    assert x_of("o.root") == [0, 1, 2, 3, 4, 5] * 2
    words = done.stdout.split()
    for expected in ("mine,", "Double", "4/12", "o.root:", "(source)"):
        assert expected in words
    assert "events that pass  4" in done.stdout
    assert "12 events in" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--fallback", ".", "--no-fallback"], "--no-fallback stands alone: leave it out, or --fallback"),
        (["--fallback-in", "child", "--no-fallback"], "--no-fallback stands alone: leave it out, or --fallback-in"),
        (["--fallback-in", "child"], "workflow mine has no models of its own: say which folder to fall back to"),
        (["--fallback", ".", "--fallback-in", "hell"], "how of a fallback is one of inprocess, child, container"),
        (["--fallback", ".", "--fallback-in", "container"], "image of a fallback is needed to run a container"),
    ],
)
def test_fallbacks_that_make_no_sense(folder, words, text):
    done = sonic("mine.py", "-i", "a.root", *words)
    assert done.exit_code == 1
    assert text in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_several_processes(folder):
    done = sonic("mine.py", "-i", "a.root", "b.root", "-o", "o.root", "-p", "2", "-t", "2", "--chunk-size", "2")
    assert done.exit_code == 0, done.output
    assert x_of("o.root") == [0, 1, 2, 3, 4, 5] * 2
    assert "with 2 processes, 2 threads and 4 streams" in " ".join(done.stdout.split())
    assert "events that pass  4" in done.stdout


def test_what_the_fallback_answered_is_said_to_who_wants_no_table(folder, monkeypatch):
    ran = framework_job.run
    monkeypatch.setattr(
        framework_job, "run", lambda *given, **named: replace(ran(*given, **named), fallback_models={"m": 5})
    )
    assert sonic("mine.py", "-i", "a.root", "-q").stderr == "note: 5 requests were answered by the fallback: 5 to m\n"
    assert "note" not in sonic("mine.py", "-i", "a.root").stderr


def test_names_between_colons_are_no_pictures(folder):
    assert "a:100:.root: 6 events" in sonic("mine.py", "-i", "a.root", "-o", "a:100:.root").stdout


@pytest.mark.parametrize("output", ["./o.root", "year=2024/o.root"])
def test_an_output_has_its_own_choice_by_the_name_that_it_was_given(folder, output):
    (folder / "year=2024").mkdir()
    done = sonic("mine.py", "-i", "a.root", "-o", output, "b.parquet", "--keep", f"{output}=unused", "x")
    assert done.exit_code == 0, done.output
    with uproot.open(output) as file:
        assert file["Events"].keys() == ["unused", "Large"]


def test_all_options(folder):
    done = sonic(
        *("mine.py", "-i", "a.root", "b.root", "-o", "o.root", "--keep", "x", "unus*", "--filter-output", "pass"),
        *("--entries", "3:9", "--repeat", "2", "-t", "2", "-s", "3", "--chunk-size", "2", "--mode", "service"),
        *("--offload", "sync", "--no-fallback", "--timeout-s", "5", "--quiet"),
        *("--report", "report.json", "--trace", "trace.json", "--timeline", "timeline.png"),
    )
    assert done.exit_code == 0, done.output
    assert done.output == ""
    assert x_of("o.root") == [4, 5] * 2
    with uproot.open("o.root") as file:
        assert file["Events"].keys() == ["unused", "x"]
    report = json.loads((folder / "report.json").read_text())
    assert (report["events"], report["events_written"], report["chunks"]) == (12, 4, 8)
    assert (report["threads"], report["streams"], report["chunk_size"], report["repeat"]) == (2, 3, 2, 2)
    assert json.loads((folder / "trace.json").read_text())["traceEvents"]
    assert (folder / "timeline.png").read_bytes().startswith(b"\x89PNG")


def test_the_graph_is_drawn(folder):
    assert sonic("mine.py", "-i", "a.root", "--graph", "g.svg", "-q").exit_code == 0
    assert (folder / "g.svg").read_text().startswith("<svg")
    done = sonic("mine.py", "-i", "a.root", "--graph", "g.png")
    assert (done.exit_code, done.stderr) == (1, "sonic: a graph is drawn as .svg, .dot, .txt, not as .png\n")
    assert not list(folder.glob("*.part"))


def half_written(path):
    path.write_text("half")
    raise OSError(28, "No space left on device")


def test_a_report_is_whole_or_absent(folder):
    (folder / "disk").mkdir()
    (folder / "r.json").symlink_to(folder / "disk" / "r.json")
    with replacing(folder / "r.json") as part:
        part.write_text("old")
    with pytest.raises(OutputError, match=r"cannot write .*r.json"), replacing(folder / "r.json") as part:
        half_written(part)
    assert (folder / "disk" / "r.json").read_text() == "old"
    assert sonic("mine.py", "-i", "a.root", "--report", "r.json", "-q").exit_code == 0
    assert json.loads((folder / "disk" / "r.json").read_text())["events"] == 6
    assert (folder / "r.json").is_symlink()
    assert [path.name for path in (folder / "disk").iterdir()] == ["r.json"]


def test_a_report_that_cannot_be_written_is_told_before_the_job(folder, monkeypatch):
    (folder / "closed").mkdir()
    monkeypatch.setattr("os.access", lambda path, *_, **__: not str(path).endswith("closed"))
    done = sonic("mine.py", "-i", "a.root", "-o", "o.root", "--report", "closed/r.json")
    assert (done.exit_code, done.stderr) == (1, "sonic: cannot write closed/r.json: closed is not yours to write to\n")
    assert not (folder / "o.root").exists()


def test_several_outputs(folder):
    done = sonic(
        *("mine.py", "-i", "a.root", "-o", "all.root", "large.root", "--unordered"),
        *("--keep", "x", "large.root=y", "--filter-output", "large.root=pass"),
    )
    assert done.exit_code == 0, done.output
    assert x_of("all.root") == [0, 1, 2, 3, 4, 5]
    with uproot.open("large.root") as file:
        assert file["Events"].keys() == ["y"]
        assert file["Events"]["y"].array().to_list() == [8, 10]
    assert "all.root: 6 events\nlarge.root: 2 events\n" in done.stdout


def test_chunks_that_fail_are_listed(folder):
    text = dedent(WORKFLOW).replace(
        'return {"y": 2 * events.x}', 'return {"y": 2 / (0 if events.x[0] == 2 else 1) * events.x}'
    )
    (folder / "picky.py").write_text(text)
    words = ("-i", "a.root", "-o", "o.root", "--chunk-size", "2", "--report", "r.json")
    assert sonic("picky.py", *words).exit_code == 1
    done = sonic("picky.py", *words, "--on-error", "retry:1,skip")
    assert done.exit_code == 0, done.output
    assert "skipped chunk 1, a.root entries 2:4: module Double: ZeroDivisionError" in done.stdout
    assert "1 chunks with 2 events were skipped because a module failed" in done.stdout
    assert x_of("o.root") == [0, 1, 4, 5]
    quiet = sonic("picky.py", *words, "--on-error", "skip", "-q")
    assert quiet.output == "note: 1 chunks with 2 events were skipped because a module failed\n"
    assert json.loads((folder / "r.json").read_text())["skipped"][0]["module"] == "Double"


@pytest.mark.parametrize(("entries", "expected"), [("2:4", [2, 3]), ("4:", [4, 5]), (":1", [0])])
def test_ranges_of_entries(folder, entries, expected):
    assert sonic("mine.py", "-i", "a.root", "-o", "o.root", "--entries", entries).exit_code == 0
    assert x_of("o.root") == expected


def test_a_range_behind_the_last_event_is_told(folder):
    done = sonic("mine.py", "-i", "a.root", "-o", "o.root", "--entries", "1000:2000", "-q")
    assert (done.exit_code, done.stderr) == (0, "note: --entries 1000:2000 are none of the input's events\n")
    assert x_of("o.root") == []


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["mine.py", "-i", "a.root", "--keep", "x"], "sonic: --keep says what to write: give --output too"),
        (["mine.py", "-i", "a.root", "--filter-output", "pass"], "sonic: --filter-output says what to write: give"),
        (["miniaodd", "-i", "a.root"], "sonic: no workflow 'miniaodd'; similar: miniaod"),
        (["absent.py", "-i", "a.root"], "sonic: no workflow file absent.py"),
        (["mine.py", "-i", "absent.root"], "sonic: no input file absent.root"),
        (["mine.py", "-i", "mine.py"], "sonic: cannot read mine.py: not a ROOT file"),
        (["mine.py", "-i", "a.root", "-o", "a.root"], "sonic: output a.root is also an input"),
        (["mine.py", "-i", "a.root", "-o", "none/o.root"], "sonic: cannot write none/o.root: No such file"),
        (["mine.py", "-i", "a.root", "-o", "o.csv"], "sonic: cannot tell the format of o.csv"),
        (["mine.py", "-i", "a.root", "--mode", "x"], "sonic: mode 'x': expected service or direct"),
        (
            ["mine.py", "-i", "a.root", "--mode", "direct", "--record", "r"],
            "sonic: --record keeps requests, and",
        ),
        (["mine.py", "-i", "a.root", "--record", "b.root"], "sonic: --record b.root: the file is there already"),
        (["mine.py", "-i", "a.root", "--record", "r", "--report", "r"], "sonic: cannot write r: it is another file of"),
        (["mine.py", "-i", "a.root", "-o", "o.root", "--record", "o.root"], "sonic: cannot write o.root: it is anoth"),
        (["mine.py", "-i", "a.root", "--record", "none/r"], "sonic: cannot write none/r: there is no folder none"),
        (["mine.py", "-i", "a.root", "--mode", "direct", "--fallback", "."], "sonic: mode direct calls no server, and"),
        (["mine.py", "-i", "a.root", "--report", "none/r.json"], "sonic: cannot write none/r.json: there is no folder"),
        (
            ["mine.py", "-i", "a.root", "--report", "a.root"],
            "sonic: cannot write a.root: it is another file of this job",
        ),
        (["mine.py", "-i", "a.root", "--trace", "./mine.py"], "sonic: cannot write mine.py: it is another file of"),
        (
            ["mine.py", "-i", "a.root", "-o", "o.root", "--report", "o.root"],
            "sonic: cannot write o.root: it is another",
        ),
        (["mine.py", "-i", "a.root", "--report", "r", "--trace", "r"], "sonic: cannot write r: it is another file of"),
        (["mine.py", "-i", "a.root", "--report", "."], "sonic: cannot write .: it is a folder"),
        ([LONG, "-i", "a.root"], "sonic: no workflow file x"),
        (["mine.py", "-i", LONG], "sonic: cannot read x"),
        (["mine.py", "-i", "a.root", "-o", f"{LONG}.root"], "sonic: cannot write x"),
        (["mine.py", "-i", "a.root", "--timeline", "t.xyz"], "sonic: cannot write t.xyz"),
        (["mine.py", "-i", "a.root", "-o", "o.root", "--keep", "p.root=x"], "sonic: --keep p.root=x: p.root is not an"),
        (["mine.py", "-i", "a.root", "-o", "o.root", "--keep", "z"], "sonic: cannot keep 'z'"),
    ],
)
def test_one_line_says_what_is_wrong(folder, words, complaint):
    done = sonic(*words)
    assert done.exit_code == 1
    assert done.stderr.startswith(complaint)
    assert done.stderr.count("\n") == 1
    assert not (folder / "o.root").exists()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["mine.py"], "Missing option '--input'"),
        (["mine.py", "--input"], "requires an argument"),
        (["mine.py", "-i", "a.root", "--entries", "5"], "expected A:B"),
        (["-i", "a.root", "mine.py"], "Missing argument 'WORKFLOW'"),
        (["mine.py", "-i", "a.root", "--threads", "many"], "--threads"),
    ],
)
def test_a_wrong_command_line(folder, words, complaint):
    done = sonic(*words)
    assert done.exit_code == 2
    assert complaint in done.output


def test_help_shows_how():
    done = CliRunner().invoke(app, ["run", "--help"], env={"COLUMNS": "120"})
    assert done.exit_code == 0
    for word in ("sonic run miniaod", "--no-fallback", "the cores", "Chunks in flight"):
        assert word in " ".join(done.output.split())


ENDLESS = """
    import sys

    from sonic.framework import Producer, Workflow


    class Tell(Producer):
        told = False

        def produce(self, events):
            if not Tell.told:
                Tell.told = True
                print("at work", file=sys.stderr, flush=True)
            return {}


    workflow = Workflow("endless", (Tell(),), keep=("x",))
"""


@pytest.mark.parametrize(
    ("number", "code", "says"), [(signal.SIGINT, 130, "sonic: interrupted"), (signal.SIGTERM, 143, "sonic: terminated")]
)
def test_a_signal_ends_it_in_order(folder, number, code, says):
    (folder / "endless.py").write_text(dedent(ENDLESS))
    process = started("endless.py", "-i", "a.root", "-o", "o.root", "--repeat", "100000000", "--chunk-size", "1")
    assert process.stderr.readline() == "at work\n"
    process.send_signal(number)
    _, rest = process.communicate(timeout=TIMEOUT_S)
    assert rest == f"{says}\n"
    assert process.returncode == code
    assert sorted(path.name for path in folder.glob("*.root*")) == ["a.root", "b.root"]


TERMINATED = """
    import os, signal

    from sonic.framework import Analyzer, Workflow


    class Slow(Analyzer):
        consumes = ("x",)

        def begin_job(self, job):
            end("begin")

        def analyze(self, events):
            return 1

        def summarize(self, total):
            end("figures")
            return {}

        def end_job(self):
            end("end")
            print("has ended", flush=True)


    def end(now):
        if os.environ["AT"] == now:
            os.kill(os.getpid(), signal.SIGTERM)


    workflow = Workflow("slow", (Slow(),), chunk_size=1)
"""


@pytest.mark.parametrize("at", ["begin", "figures", "end"])
def test_sigterm_in_a_module_is_no_failure_of_it(folder, at):
    (folder / "slow.py").write_text(dedent(TERMINATED))
    words = [sys.executable, "-m", "sonic", "run", "slow.py", "-i", "a.root", "-q"]
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, env={**os.environ, "AT": at}
    )
    assert (done.stderr, done.returncode) == ("sonic: terminated\n", 143)
    assert done.stdout == ("" if at == "end" else "has ended\n")


def test_sigterm_while_the_report_is_written_leaves_no_part_of_it(folder, monkeypatch):
    def end(report):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Report, "to_json", end)
    done = sonic("mine.py", "-i", "a.root", "-o", "o.root", "--report", "r.json", "-q")
    assert (done.stderr, done.exit_code) == ("sonic: terminated\n", 143)
    assert x_of("o.root") == [0, 1, 2, 3, 4, 5]
    assert list(folder.glob("r.json*")) == []


def test_debug_shows_where(folder):
    process = subprocess.run(
        [sys.executable, "-m", "sonic", "--debug", "run", "mine.py", "-i", "absent.root"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert process.returncode == 1
    assert "Traceback" in process.stderr
    assert "DataError: no input file absent.root" in process.stderr


def test_importing_the_command_line_is_quick():
    heavy = {"awkward", "uproot", "matplotlib", "grpc", "onnxruntime"}
    code = f"import sys, sonic.cli; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], timeout=TIMEOUT_S, check=False).returncode == 0
