"""Events from the TTrees of ROOT files, chunk by chunk. uproot reads them, wherever fsspec can reach."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import uproot

from sonic.errors import ConfigError, DataError, SonicError
from sonic.framework.event import Chunk, EventRange, FileRange, short_name
from sonic.framework.graph import similar

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection, Iterator, Sequence
    from types import TracebackType

    from awkward.contents import Content

    Check = Callable[[Collection[str], str], None]

# What is read at once, in memory. Baskets are decompressed whole, so reading chunk by chunk would repeat that work.
BLOCK_BYTES = 16 << 20
_OPENERS = 8


@dataclass(frozen=True, slots=True)
class Span:
    """Neighbouring chunks of one file.

    Parameters
    ----------
    visit : int
        Number of the :class:`FileRange` that they are a part of.
    base : int
        Number of that one's first chunk in the job.
    first, stop : int
        Numbers of the chunks in the job, `stop` excluded.
    """

    visit: int
    base: int
    first: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.first


class TreeSource:
    """Chunks of events from files, one file after another.

    All files are opened once before the first event is read, so that a bad one is found at once. A chunk never spans
    two files. Nothing is read twice, except for baskets that lie across two blocks.

    Parameters
    ----------
    files : sequence of path or str
        ROOT files: paths or URLs.
    tree : str
        Name of the TTree.
    chunk_size : int
        Events in a chunk; the last one of a file may have fewer.
    repeat : int
        How often the whole input is read.
    entries : tuple of int or None, optional
        First and one past the last event to read, counted over all files; None: from the first, or to the last.
    block_bytes : int
        About how much to read at once.

    Raises
    ------
    DataError
        If a file is missing, truncated, no ROOT file, or does not have the tree.
    ConfigError
        If there are no files, or numbers make no sense.
    """

    def __init__(
        self,
        files: Sequence[str | os.PathLike[str]],
        tree: str = "Events",
        *,
        chunk_size: int = 100,
        repeat: int = 1,
        entries: tuple[int | None, int | None] = (None, None),
        block_bytes: int = BLOCK_BYTES,
    ) -> None:
        if not files:
            raise ConfigError("no input files")
        if chunk_size < 1 or repeat < 1:
            raise ConfigError(f"chunk size and repeat must be at least 1, got {chunk_size} and {repeat}")
        self.files = tuple(str(file) for file in files)
        self._tree = tree
        self._chunk_size = chunk_size
        self._repeat = repeat
        self._block_bytes = block_bytes
        self._required: tuple[str, ...] = ()
        self._optional: tuple[str, ...] = ()
        self._open_path = ""
        self._opened: Any = None
        self._at_once: dict[str, int] = {}
        self._schemas: dict[frozenset[str], frozenset[str]] = {}
        for file in self.files:
            with _reading(file):
                if _is_local(file) and not Path(file).exists():
                    raise DataError(f"no input file {file}")
        others = [file for file in dict.fromkeys(self.files) if file != self.files[0]]
        looked_at = {self.files[0]: self._describe(self._tree_of(self.files[0]))}
        if others:
            with ThreadPoolExecutor(min(_OPENERS, len(others)), thread_name_prefix="sonic-open") as pool:
                looked_at |= zip(others, pool.map(self._look, others), strict=True)
        self.branches = {file: names for file, (names, _) in looked_at.items()}
        """Names of the branches of each file."""
        sizes = [looked_at[file][1] for file in self.files]
        self._pieces = _pieces(self.files, sizes, entries)
        self.events = repeat * sum(piece.stop - piece.start for piece in self._pieces)
        """Events that the job will read, repeats included."""

    def require(self, names: Collection[str], optional: Collection[str], check: Check | None = None) -> None:
        """Say what is to be read.

        Parameters
        ----------
        names, optional : collection of str
            Branches that must, and may, be there.
        check : callable, optional
            Called for each file with its branches and its name for messages.

        Raises
        ------
        DataError
            If a file lacks a branch in `names`; names those with a similar name.
        """
        for file in dict.fromkeys(self.files):
            where, available = f"{short_name(file)}, tree {self._tree}", self.branches[file]
            if check is not None:
                check(available, where)
            for name in names:
                if name not in available:
                    raise DataError(f"{where} has no branch {name!r}{similar(name, available)}")
        self._required = tuple(dict.fromkeys(names))
        self._optional = tuple(name for name in dict.fromkeys(optional) if name not in self._required)
        self._at_once.clear()

    def spans(self, done: Collection[int] = ()) -> Iterator[Span]:
        """Say what there is to read, in order: neighbouring chunks of one file together.

        Parameters
        ----------
        done : collection of int
            Numbers of chunks to leave out.

        Yields
        ------
        Span
            Of one chunk at least in all, unless it is left out: if there are no events, a chunk of none.
        """
        index = 0
        for visit in range(len(self._pieces) * (self._repeat if self.events else 1)):
            count = self._count(visit)
            if not done:
                yield Span(visit, index, index, index + count)
                index += count
                continue
            wanted = (number for number in range(index, index + count) if number not in done)
            for _, run in groupby(enumerate(wanted), lambda place: place[1] - place[0]):
                numbers = [number for _, number in run]
                yield Span(visit, index, numbers[0], numbers[-1] + 1)
            index += count

    def read(self, span: Span) -> Iterator[Chunk]:
        """Read the events of neighbouring chunks.

        Yields
        ------
        Chunk
            One of no events has columns of the right types all the same.

        Raises
        ------
        DataError
            If a file cannot be read after all.
        """
        piece, size = self.visit(span.visit), self._chunk_size
        begin, end = (piece.start + size * (number - span.base) for number in (span.first, span.stop))
        for start, stop, block in self._blocks(replace(piece, start=begin, stop=min(end, piece.stop))):
            for first in range(start, max(stop, start + 1), size):
                number = span.base + (first - piece.start) // size
                last = min(first + size, stop)
                yield Chunk(EventRange(number, piece.file, first, last, span.visit), block, first - start)

    def chunks(self, done: Collection[int] = ()) -> Iterator[Chunk]:
        """Read all events, chunks that are done left out; see :meth:`spans` and :meth:`read`."""
        for span in self.spans(done):
            yield from self.read(span)

    @property
    def chunks_at_once(self) -> int:
        """About how many chunks of the first file that is read are read in one go."""
        return self._chunks_at_once(self._pieces[0].file)

    def ranges(self, span: Span) -> Iterator[EventRange]:
        """Say where each chunk's events come from."""
        piece = self.visit(span.visit)
        for number in range(span.first, span.stop):
            start = piece.start + self._chunk_size * (number - span.base)
            yield EventRange(number, piece.file, start, min(start + self._chunk_size, piece.stop), span.visit)

    def where(self, span: Span) -> str:
        """Say which events a span has, for messages."""
        ends = [*self.ranges(span)]
        return str(replace(self.visit(span.visit), start=ends[0].start, stop=ends[-1].stop))

    def visit(self, number: int) -> FileRange:
        """Return what is read of a file, by its number among all files that are read, repeats included."""
        piece = self._pieces[number % len(self._pieces)]
        return FileRange(number, piece.file, piece.start, piece.stop)

    def close(self) -> None:
        """Close the file that is open."""
        if self._opened is not None:
            self._opened.file.close()
            self._opened = None

    def _blocks(self, piece: FileRange) -> Iterator[tuple[int, int, dict[str, Content]]]:
        """Read a piece, a block at a time: first entry, one past the last, and the columns."""
        tree, names = self._tree_of(piece.file), self._wanted(piece.file)
        size = self._chunk_size * self._chunks_at_once(piece.file)
        for start in range(piece.start, max(piece.stop, piece.start + 1), size):
            stop = min(start + size, piece.stop)
            with _reading(piece.file):
                arrays = tree.arrays(names, entry_start=start, entry_stop=stop, how=dict) if names else {}
            yield start, stop, {name: array.layout for name, array in arrays.items()}

    def _wanted(self, file: str) -> list[str]:
        available = self.branches[file]
        return [name for name in (*self._required, *self._optional) if name in available]

    def _count(self, visit: int) -> int:
        return max(1, -(-len(self.visit(visit)) // self._chunk_size))

    def _chunks_at_once(self, file: str) -> int:
        if file not in self._at_once:
            tree = self._tree_of(file)
            with _reading(file):
                size_bytes = sum(tree[name].uncompressed_bytes for name in self._wanted(file))
            bytes_per_event = max(size_bytes / max(1, tree.num_entries), 1e-3)
            self._at_once[file] = max(1, int(self._block_bytes / bytes_per_event / self._chunk_size))
        return self._at_once[file]

    def __getstate__(self) -> dict[str, Any]:
        # What is known of the files goes to another process, the one that is open does not.
        return self.__dict__ | {"_opened": None, "_open_path": ""}

    def _tree_of(self, file: str) -> Any:
        """Tree of a file, which stays open until another is needed."""
        if self._opened is None or self._open_path != file:
            self.close()
            self._opened, self._open_path = self._open(file), file
        return self._opened

    def _open(self, file: str) -> Any:
        # A plain descriptor for a local file: neither mapped pages, which would count as ours, nor a loop of fsspec's.
        handler = {"handler": uproot.MultithreadedFileSource} if _is_local(file) else {}
        with _reading(file):
            opened = uproot.open({file: None}, array_cache=None, object_cache=None, **handler)
        try:
            with _reading(file):
                size_bytes, end = opened.file.source.num_bytes, opened.file.fEND
                if size_bytes < end:
                    raise DataError(f"cannot read {file}: the file ends too early ({size_bytes} of {end} bytes)")
                classes = opened.classnames(cycle=False)
                if self._tree not in classes:
                    trees = [name for name, kind in classes.items() if kind == "TTree"]
                    raise DataError(f"{file} has no tree {self._tree!r}; it has {', '.join(trees) or 'no trees'}")
                if classes[self._tree] == "ROOT::RNTuple":
                    raise DataError(f"{file}: {self._tree} is an RNTuple; only TTrees are read")
                if classes[self._tree] != "TTree":
                    raise DataError(f"{file}: {self._tree} is a {classes[self._tree]}, not a TTree")
                return opened[self._tree]
        except BaseException:
            opened.close()
            raise

    def _look(self, file: str) -> tuple[frozenset[str], int]:
        tree = self._open(file)
        try:
            return self._describe(tree)
        finally:
            tree.file.close()

    def _describe(self, tree: Any) -> tuple[frozenset[str], int]:
        """Names of the branches, and the number of entries. Files of one kind share one set of names."""
        names = frozenset(tree.keys(full_paths=False))
        return self._schemas.setdefault(names, names), int(tree.num_entries)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _pieces(
    files: Sequence[str], sizes: Sequence[int], entries: tuple[int | None, int | None]
) -> tuple[FileRange, ...]:
    """Cut a range of entries, counted over all files, into a piece for each file that has some of it."""
    first, last = entries[0] or 0, sum(sizes) if entries[1] is None else entries[1]
    if first < 0 or last < first:
        given = ":".join("" if end is None else str(end) for end in entries)
        raise ConfigError(f"entries {given} make no range of {sum(sizes)} events: 0 <= first <= last")
    pieces: list[FileRange] = []
    offset = 0
    for file, size in zip(files, sizes, strict=True):
        start, stop = max(first - offset, 0), min(last - offset, size)
        if start < stop:
            pieces.append(FileRange(len(pieces), file, start, stop))
        offset += size
    return tuple(pieces) or (FileRange(0, files[0], 0, 0),)


@contextmanager
def _reading(file: str) -> Iterator[None]:
    """Turn whatever goes wrong in uproot, fsspec or a file system into one line about the file."""
    try:
        yield
    except SonicError:
        raise
    except Exception as error:
        raise DataError(f"cannot read {file}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines[:2])
    if text.startswith("not a ROOT file"):
        return lines[0]
    if text.startswith("expected Chunk of length"):
        return f"the file ends too early ({text})"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _is_local(file: str) -> bool:
    return "://" not in file
