from __future__ import annotations

import signal
import threading

import pytest

from sonic.errors import ModuleError
from sonic.framework import Chunk, EventRange, FileRange, JobInfo, Producer, Workflow
from sonic.framework.job import run
from sonic.framework.lifecycle import Lifecycle

JOB = JobInfo("test", ("a.root", "b.root"), 20)


class Diary(Producer):
    """Notes what it is told; fails where it is to."""

    def __init__(self, name="Diary", log=None, fails=()):
        self.name, self.log, self.fails = name, [] if log is None else log, fails

    def _note(self, *what):
        self.log.append((self.name, *what))
        if what[0] in self.fails:
            raise RuntimeError("no calibration")

    def begin_job(self, job):
        self._note("begin job", job)

    def end_job(self):
        self._note("end job")

    def begin_file(self, file):
        self._note("begin", file.index)

    def end_file(self, file):
        self._note("end", file.index)

    def produce(self, events):
        return {}


def file_of(number):
    return FileRange(number, f"{number}.root", 0, 20)


def chunks(*visits):
    return [Chunk(EventRange(i, f"{visit}.root", 0, 0, visit), {}) for i, visit in enumerate(visits)]


def through(life, chunks, write):
    for chunk in life.reading(chunks):
        life.writing(write)(chunk)


def broken(chunk):
    raise ValueError("broken")


def told(diary):
    return [entry[1:] for entry in diary.log]


def test_every_module_is_told_in_order():
    log = []
    modules = (Diary("one", log), Diary("two", log))
    with Lifecycle(modules, JOB, file_of) as life:
        through(life, chunks(0, 0, 1), lambda chunk: log.append(("-", "write", chunk.where.index)))
    whats = [("begin job", JOB), ("begin", 0), ("end", 0), ("begin", 1), ("end", 1), ("end job",)]
    assert [entry for entry in log if entry[0] != "-"] == [(name, *what) for what in whats for name in ("one", "two")]
    assert log.index(("-", "write", 1)) < log.index(("one", "end", 0)) < log.index(("one", "begin", 1))


def test_jobs_that_began_end_after_ctrl_c_while_others_begin():
    class Interrupted(Diary):
        def begin_job(self, job):
            signal.raise_signal(signal.SIGINT)

    log = []
    modules = (Diary("one", log), Interrupted("two", log), Diary("three", log))
    with pytest.raises(KeyboardInterrupt), Lifecycle(modules, JOB, file_of):
        pass
    assert log == [("one", "begin job", JOB), ("one", "end job"), ("two", "end job")]


def test_jobs_that_began_end_after_ctrl_c_while_others_end():
    class Interrupted(Diary):
        def end_job(self):
            super().end_job()
            signal.raise_signal(signal.SIGINT)

    log = []
    with pytest.raises(KeyboardInterrupt), Lifecycle((Interrupted("one", log), Diary("two", log)), JOB, file_of):
        pass
    assert log[2:] == [("one", "end job"), ("two", "end job")]


def test_nothing_yet_passes_and_ends_no_file():
    diary = Diary()
    with Lifecycle((diary,), JOB, file_of) as life:
        first, second = chunks(0, 0)
        read = life.reading([first, None, second])
        write = life.writing(lambda chunk: None)
        write(next(read))
        assert next(read) is None
        assert told(diary)[1:] == [("begin", 0)]
        write(next(read))
        assert next(read, "over") == "over"
        assert told(diary)[1:] == [("begin", 0), ("end", 0)]


def test_a_file_ends_when_its_last_chunk_is_written_and_files_end_in_order():
    diary = Diary()
    with Lifecycle((diary,), JOB, file_of) as life:
        first, second, third = life.reading(chunks(0, 1, 1))
        write = life.writing(lambda chunk: None)
        write(second)
        write(third)
        assert told(diary)[1:] == [("begin", 0), ("begin", 1)]
        write(first)
        assert told(diary)[3:] == [("end", 0), ("end", 1)]


def test_a_file_that_is_read_again_begins_and_ends_again():
    diary = Diary()
    with Lifecycle((diary,), JOB, lambda number: FileRange(number, "0.root", 0, 20)) as life:
        through(life, [Chunk(EventRange(i, "0.root", 0, 20, i), {}) for i in range(2)], lambda chunk: None)
    assert told(diary)[1:-1] == [("begin", 0), ("end", 0), ("begin", 1), ("end", 1)]


def test_a_job_that_fails_ends_all_the_same_but_not_its_files():
    diary = Diary()
    with pytest.raises(ValueError, match="broken"), Lifecycle((diary,), JOB, file_of) as life:
        through(life, chunks(0, 0), broken)
    assert told(diary) == [("begin job", JOB), ("begin", 0), ("end job",)]


@pytest.mark.parametrize(
    ("fails", "complaint"),
    [
        ("begin job", "module Diary failed on the begin of the job: RuntimeError: no calibration"),
        ("begin", "module Diary failed on the begin of 0.root entries 0:20: RuntimeError: no calibration"),
        ("end", "module Diary failed on the end of 0.root entries 0:20: RuntimeError: no calibration"),
        ("end job", "module Diary failed on the end of the job: RuntimeError: no calibration"),
    ],
)
def test_a_hook_that_fails(fails, complaint):
    diary, after = Diary(fails=(fails,)), Diary("after")
    with pytest.raises(ModuleError) as caught, Lifecycle((diary, after), JOB, file_of) as life:
        through(life, chunks(0), lambda chunk: None)
    assert str(caught.value) == complaint
    assert told(diary)[-1] == ("end job",)
    assert ("end job",) in told(after) or fails == "begin job"


def test_the_error_of_the_job_comes_before_that_of_its_end():
    diary = Diary(fails=("end job",))
    with pytest.raises(ValueError, match="broken") as caught, Lifecycle((diary,), JOB, file_of):
        raise ValueError("broken")
    assert caught.value.__notes__ == ["module Diary failed on the end of the job: RuntimeError: no calibration"]


class Calibrated(Diary):
    """Needs a constant of each file, and has it before the file's first chunk."""

    consumes = ("run", "x")
    produces = ("good",)

    def __init__(self):
        super().__init__("Calibrated")
        self.known = set()
        self.lock = threading.Lock()

    def begin_file(self, file):
        super().begin_file(file)
        self.known.add(1 if "a.root" in file.file else 2)

    def produce(self, events):
        with self.lock:
            assert set(events.run) <= self.known
            self.log.append((self.name, "chunk"))
        return {"good": events.x > 0}


@pytest.mark.parametrize("threads", [1, 3])
def test_in_a_job(events_file, threads):
    files = [events_file(5, name="a.root", seed=1), events_file(4, name="b.root", seed=2)]
    module = Calibrated()
    run(Workflow("test", (module,)), files, chunk_size=2, repeat=2, threads=threads, entries=(1, None))
    notes = told(module)
    assert notes[0] == ("begin job", JobInfo("test", tuple(map(str, files)), 16))
    assert notes[-1] == ("end job",)
    for what in ("begin", "end"):
        assert [note for note in notes if note[0] == what] == [(what, number) for number in range(4)]
    assert notes.count(("chunk",)) == 8


def test_an_output_whose_job_cannot_end_is_not_there(events_file, tmp_path):
    with pytest.raises(ModuleError, match="the end of the job"):
        run(Workflow("test", (Diary(fails=("end job",)), Calibrated())), [events_file(5)], tmp_path / "o.root")
    assert [path.name for path in tmp_path.iterdir()] == ["events.root"]
