"""Events from the TTrees of ROOT files, chunk by chunk. uproot reads them, wherever fsspec can reach."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import uproot

from sonic.errors import ConfigError, DataError, SonicError
from sonic.framework.event import Chunk, EventRange, FileRange
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
        self._schemas: dict[frozenset[str], frozenset[str]] = {}
        for file in self.files:
            with _reading(file):
                if _is_local(file) and not Path(file).exists():
                    raise DataError(f"no input file {file}")
        others = list(dict.fromkeys(self.files[1:]) - {self.files[0]: None}.keys())
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
            where, available = f"{_short(file)}, tree {self._tree}", self.branches[file]
            if check is not None:
                check(available, where)
            for name in names:
                if name not in available:
                    raise DataError(f"{where} has no branch {name!r}{similar(name, available)}")
        self._required = tuple(dict.fromkeys(names))
        self._optional = tuple(name for name in dict.fromkeys(optional) if name not in self._required)

    def chunks(self, done: Collection[int] = ()) -> Iterator[Chunk]:
        """Read the events.

        Parameters
        ----------
        done : collection of int
            Numbers of chunks to leave out.

        Yields
        ------
        Chunk
            At least one, unless it is left out: if there are no events, a chunk of none, whose columns have their types
            all the same.

        Raises
        ------
        DataError
            If a file cannot be read after all.
        """
        index = 0
        for visit in range(len(self._pieces) * (self._repeat if self.events else 1)):
            piece, size = self.visit(visit), self._chunk_size
            count = max(1, -(-len(piece) // size))
            wanted = (number for number in range(count) if index + number not in done)
            # Neighbours together: what lies between is not read.
            for _, run in groupby(enumerate(wanted), lambda place: place[1] - place[0]):
                numbers = [number for _, number in run]
                begin, end = piece.start + size * numbers[0], piece.start + size * (numbers[-1] + 1)
                for start, stop, block in self._blocks(replace(piece, start=begin, stop=min(end, piece.stop))):
                    for first in range(start, max(stop, start + 1), size):
                        number = index + (first - piece.start) // size
                        last = min(first + size, stop)
                        yield Chunk(EventRange(number, piece.file, first, last, visit), block, first - start)
            index += count

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
        tree = self._tree_of(piece.file)
        available = self.branches[piece.file]
        names = [name for name in (*self._required, *self._optional) if name in available]
        with _reading(piece.file):
            bytes_per_event = sum(tree[name].uncompressed_bytes for name in names) / max(1, tree.num_entries)
        chunks_at_once = int(self._block_bytes / max(bytes_per_event, 1e-3) / self._chunk_size)
        size = self._chunk_size * max(1, chunks_at_once)
        for start in range(piece.start, max(piece.stop, piece.start + 1), size):
            stop = min(start + size, piece.stop)
            with _reading(piece.file):
                arrays = tree.arrays(names, entry_start=start, entry_stop=stop, how=dict) if names else {}
            yield start, stop, {name: array.layout for name, array in arrays.items()}

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
        raise ConfigError(f"entries {first}:{last} make no range: 0 <= first <= last")
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


def _short(file: str) -> str:
    return file.rstrip("/").rpartition("/")[2] or file
