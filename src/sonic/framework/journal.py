"""What a job has finished, kept beside its output, so that the job can go on after an interruption.

The file holds records: length and CRC-32 of what follows (little-endian, 8 and 4 bytes), then its bytes. The first is
JSON that says which job it belongs to; the others are pickles, each of a finished chunk, or of the number of a process
that began to write. A record that was not written to its end is cut off. A pickle can run code when it is read: the
file is as trustworthy as the folder of the output.
"""

from __future__ import annotations

import fcntl
import json
import os
import pickle
import struct
import time
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from sonic.errors import ConfigError, OutputError, one_line, shown
from sonic.files import writing
from sonic.framework.finished import Finished

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

_HEAD = struct.Struct("<QI")
_MOST_JOB_BYTES = 1 << 24
"""The first record is smaller: a list of input files, and some settings."""

_SYNC_S = 5.0
"""So often what is written is made to reach the disk, so that a power cut costs no more than that."""


class Journal:
    """Finished chunks of a job, in the order in which they were written. Locked against other processes.

    Parameters
    ----------
    path : Path
        Created if it is not there.
    job : mapping of str to object
        What the output depends on, as JSON can hold it.

    Attributes
    ----------
    owners : tuple of int
        Numbers of the processes that wrote here before.
    done : dict of int to int
        Events of the chunks that earlier runs finished, by the chunks' numbers, in the order in which they were
        written. One that a module failed on is not finished.

    Raises
    ------
    ConfigError
        If it is the journal of another job, or no journal, or another process writes it.
    OutputError
        If it cannot be read or written.
    """

    def __init__(self, path: Path, job: Mapping[str, Any]) -> None:
        self.path = path
        self.owners: tuple[int, ...] = ()
        self.done: dict[int, int] = {}
        self._places: dict[int, int] = {}  # of their records
        self._chunks = 0
        self._synced_s = 0.0
        with writing(self.path):
            # Not truncated: whether there is something is only known behind the lock.
            self._file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
        try:
            self._lock()
            job = json.loads(json.dumps(job))
            with writing(self.path):
                records = self._records()
                found = next(records, None)
                if found is None:
                    self._check_cut_off()
                    self._file.truncate(0)
                    self._file.seek(0)
                    self._append(json.dumps(job).encode())
                else:
                    self._compare(json.loads(found), job)
                    self._survey(records)
                self._append(pickle.dumps(os.getpid()))
        except BaseException:
            self._shut()
            raise

    def finished(self, index: int) -> Finished:
        """Give back a chunk of :attr:`done`."""
        self._file.seek(self._places[index])
        length, _ = _HEAD.unpack(self._file.read(_HEAD.size))
        found: Finished = pickle.loads(self._file.read(length))  # noqa: S301 - written by ourselves; see above
        return found

    def append(self, finished: Finished) -> None:
        """Add a chunk, which is there from now on even if this process is killed; one that failed is to be done again.

        Raises
        ------
        OutputError
            If the disk is full, or an analyzer's result cannot be pickled.
        """
        if finished.failure is not None:
            return
        try:
            record = pickle.dumps(finished, protocol=pickle.HIGHEST_PROTOCOL)
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            raise OutputError(
                f"{self.path}: what was made of {finished.where} cannot be kept: {one_line(error)}"
            ) from error
        with writing(self.path):
            self._append(record)
        self._chunks += 1

    def remove(self) -> None:
        """Remove and close it: the job is done. What is there from now on is another job's."""
        self.path.unlink(missing_ok=True)
        self._shut()

    def close(self) -> None:
        """Close it; one without any chunk is removed."""
        if not self._file.closed:
            if not self._chunks:
                self.path.unlink(missing_ok=True)
            self._shut()

    def _shut(self) -> None:
        with suppress(OSError):  # what could not be written is tried once more, and has been told of
            self._file.close()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(f"another process is writing {self.path}, the journal of this job") from error

    def _check_cut_off(self) -> None:
        """See that what is there may be a first record which was not written to its end, and no other file."""
        self._file.seek(0)
        head = self._file.read(_HEAD.size)
        left = self.path.stat().st_size - len(head)
        if len(head) == _HEAD.size and not left < _HEAD.unpack(head)[0] < _MOST_JOB_BYTES:
            raise ConfigError(f"{self.path} is where the journal of this job belongs, and is none: remove or rename it")

    def _compare(self, found: Mapping[str, Any], job: Mapping[str, Any]) -> None:
        for name in (*job, *(found.keys() - job.keys())):
            was, now = found.get(name), job.get(name)
            if was != now:
                text = f"{name} was {shown(was)} and is {shown(now)}"
                raise ConfigError(f"{self.path} is the journal of another job: {text}; remove it to begin anew")

    def _survey(self, records: Iterator[bytes]) -> None:
        """Find who wrote here, and cut off what is not whole."""
        end = self._file.tell()
        for record in records:
            found = pickle.loads(record)  # noqa: S301 - written by ourselves; see above
            if not isinstance(found, Finished):
                self.owners += (int(found),)
            elif found.failure is None:
                self.done[found.where.index] = len(found.where)
                self._places[found.where.index] = end
            end = self._file.tell()
        self._chunks = len(self.done)
        self._file.truncate(end)
        self._file.seek(end)

    def _records(self) -> Iterator[bytes]:
        """Read from the begin up to the last whole record."""
        self._file.seek(0)
        while len(head := self._file.read(_HEAD.size)) == _HEAD.size:
            length, checksum = _HEAD.unpack(head)
            if not length:  # nothing is as short: a file system that a power cut surprised has filled up with zeros
                return
            record = self._file.read(length) if length <= self.path.stat().st_size else b""
            if len(record) != length or zlib.crc32(record) != checksum:
                return
            yield record

    def _append(self, record: bytes) -> None:
        self._file.seek(0, os.SEEK_END)
        self._file.write(_HEAD.pack(len(record), zlib.crc32(record)))
        self._file.write(record)
        self._file.flush()
        if time.monotonic() > self._synced_s + _SYNC_S:
            os.fsync(self._file.fileno())
            self._synced_s = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
