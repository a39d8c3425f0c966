from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import awkward as ak
import pytest

from sonic.errors import ConfigError, OutputError
from sonic.framework import EventRange
from sonic.framework.finished import Finished
from sonic.framework.journal import Journal
from sonic.framework.report import Failure

TIMEOUT_S = 60.0
JOB = {"workflow": "test", "inputs": ("a.root",)}


def chunk(index):
    block = ak.to_layout(ak.Array([[1.0], [], [2.0, 3.0], [4.0]]))
    where = EventRange(index, "a.root", 2 * index, 2 * index + 2)
    return Finished(where, None, {"sum": index}, [{"x": block[2:4]}, {}], [2, 1])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "o.root.journal"


def written(path, count):
    with Journal(path, JOB) as journal:
        for index in range(count):
            journal.append(chunk(index))


def indices(journal):
    return [journal.finished(index).where.index for index in journal.done]


def test_what_was_finished_is_there_again(path):
    written(path, 2)
    with Journal(path, JOB) as journal:
        assert journal.done == {0: 2, 1: 2}
        first, second = journal.finished(0), journal.finished(1)
        assert (first.where, first.results, list(first.events)) == (chunk(0).where, {"sum": 0}, [2, 1])
        assert ak.to_list(first.columns[0]["x"]) == [[2.0, 3.0], [4.0]]
        assert second.where.index == 1
        journal.append(chunk(2))
    with Journal(path, JOB) as journal:
        assert indices(journal) == [0, 1, 2]
        assert len(journal.owners) == 2


def test_a_chunk_that_was_left_out_is_to_be_done_again(path):
    failed = Finished(chunk(0).where, Failure("Fails", "ValueError: no", 0, "a.root", 0, 2), {}, (), ())
    with Journal(path, JOB) as journal:
        journal.append(failed)
    assert not path.exists()
    with Journal(path, JOB) as journal:
        journal.append(failed)
        journal.append(chunk(1))
    with Journal(path, JOB) as journal:
        assert indices(journal) == [1]
        journal.append(chunk(0))
    with Journal(path, JOB) as journal:
        assert indices(journal) == [1, 0]


@pytest.mark.parametrize("cut", [1, 50, 100_000])
def test_what_is_not_whole_is_cut_off(path, cut):
    written(path, 2)
    whole = path.read_bytes()
    path.write_bytes(whole[: max(len(whole) - cut, 10)])
    with Journal(path, JOB) as journal:
        found = indices(journal)
        assert found == ([0] if cut < 100_000 else [])
        journal.append(chunk(5))
    with Journal(path, JOB) as journal:
        assert indices(journal) == [*found, 5]


def test_zeros_behind_its_end(path):
    written(path, 2)
    whole = path.read_bytes()
    path.write_bytes(whole + bytes(5000))
    with Journal(path, JOB) as journal:
        assert indices(journal) == [0, 1]
        journal.append(chunk(2))
    with Journal(path, JOB) as journal:
        assert indices(journal) == [0, 1, 2]


def test_nothing_but_zeros(path):
    path.write_bytes(bytes(5000))
    with pytest.raises(ConfigError, match="is where the journal of this job belongs, and is none: remove or rename it"):
        Journal(path, JOB)


def test_a_damaged_record(path):
    written(path, 2)
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    with Journal(path, JOB) as journal:
        assert indices(journal) == [0]


def test_it_goes_when_nothing_is_in_it_or_the_job_is_done(path):
    written(path, 0)
    assert not path.exists()
    with Journal(path, JOB) as journal:
        journal.append(chunk(0))
        journal.remove()
    assert not path.exists()


def test_a_job_that_is_done_leaves_the_journal_of_the_next_alone(path):
    with Journal(path, JOB) as done:
        done.append(chunk(0))
        done.remove()
        with Journal(path, JOB) as following:
            following.append(chunk(1))
            done.close()
    with Journal(path, JOB) as again:
        assert indices(again) == [1]


def test_another_job(path):
    written(path, 1)
    with pytest.raises(
        ConfigError, match=r"o.root.journal is the journal of another job: workflow was 'test' and is 'x'"
    ):
        Journal(path, JOB | {"workflow": "x"})
    with pytest.raises(ConfigError, match="repeat was None and is 2; remove it to begin anew"):
        Journal(path, JOB | {"repeat": 2})
    with Journal(path, JOB) as journal:
        assert indices(journal) == [0]


def test_a_file_of_something_else_is_left_as_it_is(path):
    path.write_text("minutes of the meeting")
    with pytest.raises(ConfigError, match=r"o\.root\.journal is where the journal of this job belongs, and is none"):
        Journal(path, JOB)
    assert path.read_text() == "minutes of the meeting"


def test_two_jobs_at_once(path):
    with Journal(path, JOB), pytest.raises(ConfigError, match=r"another process is writing .*o.root.journal"):
        Journal(path, JOB)


FULL = """
import resource, signal, sys
from pathlib import Path
from test_journal import JOB, Journal, OutputError, chunk, indices

path = Path(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for more in (50, 1):  # within a chunk, and within the number of the process that begins
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + more, resource.RLIM_INFINITY))
    try:
        with Journal(path, JOB) as journal:
            journal.append(chunk(1))
    except OutputError as error:
        print(error)
"""


def test_a_full_disk(path):
    written(path, 1)
    words = [sys.executable, "-c", FULL, str(path)]  # a process of its own: the limit is for all of its files
    done = subprocess.run(
        words, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert (done.stdout, done.stderr) == (f"cannot write {path}: File too large\n" * 2, "")
    with Journal(path, JOB) as journal:
        assert indices(journal) == [0]


def test_what_cannot_be_kept_or_written(path, tmp_path):
    with Journal(path, JOB) as journal, pytest.raises(OutputError, match=r"chunk 0, a.root entries 0:2 cannot be kept"):
        journal.append(Finished(chunk(0).where, None, {"lock": threading.Lock()}, (), ()))
    with pytest.raises(OutputError, match=r"cannot write .*none/o.journal: No such file"):
        Journal(tmp_path / "none" / "o.journal", JOB)
    assert list(Path(tmp_path).iterdir()) == []
