"""Events as a TTree of a ROOT file, with the analyzers' histograms beside it."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import awkward as ak
import hist
import numpy as np
import uproot
from awkward.contents import ListOffsetArray, NumpyArray, RegularArray

from sonic.errors import OutputError
from sonic.framework.event import collection
from sonic.framework.sinks.base import Sink

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from awkward.contents import Content

METADATA = "sonic"


class RootSink(Sink):
    """A ROOT file with one TTree, in the manner of NanoAOD.

    Jagged columns of one collection (``Jet_pt``, ``Jet_mass``) share its counter (``nJet``). A TObjString called
    ``sonic`` holds the metadata. Histograms lie in a folder of their analyzer's name.
    """

    def _open(self, part: Path) -> None:
        self._branches: Any = None
        self._raw = part.open("w+b")
        self._file = uproot.recreate(self._raw)

    def _append(self, columns: Mapping[str, Content]) -> None:
        flat = {name: self._storable(name, content) for name, content in columns.items()}
        counts = self._counts(flat)
        for counter, (lengths, jagged) in counts.items():
            own = flat.pop(counter, None)
            if own is not None and not np.array_equal(ak.to_numpy(own), lengths):
                raise OutputError(
                    f"{self.path}: column {counter!r} is not the length of {jagged!r}, which it counts in a ROOT file"
                )
        if not flat:
            return  # histograms alone
        with self._storing(f"tree {self.tree}"):
            if self._branches is None:
                types = {name: _branch_type(content) for name, content in flat.items()}
                self._branches = self._file.mktree(self.tree, types, counter_name=_counter)
            if any(len(content) for content in flat.values()):
                arrays = {name: ak.Array(content) for name, content in flat.items()}
                self._branches.extend(arrays | {counter: lengths for counter, (lengths, _) in counts.items()})

    def _counts(self, columns: Mapping[str, Content]) -> dict[str, tuple[np.ndarray, str]]:
        """Counter of each collection, with the first column that it counts."""
        counts: dict[str, tuple[np.ndarray, str]] = {}
        for name, content in columns.items():
            if not isinstance(content, ListOffsetArray) or content.parameter("__array__") == "string":
                continue
            lengths = np.diff(np.asarray(content.offsets)).astype(np.int32)
            known, other = counts.setdefault(_counter(name), (lengths, name))
            if not np.array_equal(known, lengths):
                raise OutputError(
                    f"{self.path}: columns {other!r} and {name!r} have lists of different lengths, but columns of one "
                    f"collection ({collection(name)}_*) share a counter: give one of them another prefix"
                )
        return counts

    def _storable(self, name: str, content: Content) -> Content:
        """Bring a column to what a branch can hold: numbers, arrays of fixed size, lists of numbers, strings."""
        jagged = isinstance(content, ListOffsetArray)
        if content.parameter("__array__") == "string":
            return content
        numbers = content.content if jagged else content
        if isinstance(numbers, RegularArray) and not jagged and numbers.purelist_isregular:
            numbers = NumpyArray(np.asarray(ak.to_numpy(numbers)))
        if not isinstance(numbers, NumpyArray) or (jagged and numbers.data.ndim > 1):
            hint = ": fill the missing values" if "?" in str(content.form.type) else ": write Parquet"
            raise OutputError(
                f"{self.path}: column {name!r} has type {content.form.type}, which a TTree cannot hold{hint}"
            )
        data = np.asarray(numbers.data)
        if data.dtype == np.float16:
            data = data.astype(np.float32)
        if data.dtype.kind not in "biuf":
            raise OutputError(f"{self.path}: column {name!r} holds {data.dtype}, which a TTree cannot hold")
        return ListOffsetArray(content.offsets, NumpyArray(data)) if jagged else NumpyArray(data)

    def check(self, totals: Mapping[str, Any]) -> None:
        """Convert every histogram once, so that one that cannot be stored is known before the last event."""
        for name, histogram in histograms(totals).items():
            if name.partition("/")[0] in (self.tree, METADATA):
                raise OutputError(f"{self.path}: histogram {name} has the name of something else in the file")
            with self._storing(f"histogram {name}"):
                uproot.to_writable(_with_floats(histogram))

    def _close(self, totals: Mapping[str, Any], metadata: str) -> None:
        for name, histogram in histograms(totals).items():
            with self._storing(f"histogram {name}"):
                self._file[name] = _with_floats(histogram)
        self._file[METADATA] = metadata
        self._raw.flush()
        os.fsync(self._raw.fileno())
        self._file.close()

    def _drop(self) -> None:
        try:
            self._file.close()
        finally:
            self._raw.close()

    @contextmanager
    def _storing(self, what: str) -> Iterator[None]:
        try:
            yield
        except (TypeError, ValueError, NotImplementedError) as error:
            reason = str(error).partition("\n")[0]
            raise OutputError(f"{self.path}: {what} cannot be stored in a ROOT file: {reason}") from error


def histograms(totals: Mapping[str, Any], folder: str = "") -> dict[str, hist.BaseHist[Any]]:
    """Histograms among what analyzers summed up, by their path: module, then keys of dicts."""
    found: dict[str, hist.BaseHist[Any]] = {}
    for name, total in totals.items():
        path = f"{folder}{name}"
        if isinstance(total, hist.BaseHist):
            found[path] = total
        elif isinstance(total, dict):
            found |= histograms({str(key): value for key, value in total.items()}, f"{path}/")
    return found


def _with_floats(histogram: hist.BaseHist[Any]) -> hist.BaseHist[Any]:
    """ROOT has no histogram of 64-bit integers."""
    if histogram.storage_type is not hist.storage.Int64:
        return histogram
    floats = hist.Hist(*histogram.axes, storage=hist.storage.Double(), name=histogram.name, label=histogram.label)
    floats.view(flow=True)[...] = histogram.view(flow=True)
    return floats


def _counter(name: str) -> str:
    return f"n{collection(name)}"


def _branch_type(content: Content) -> Any:
    """Type of a storable column as uproot takes it."""
    if isinstance(content, ListOffsetArray):
        return "string" if content.parameter("__array__") == "string" else f"var * {content.content.form.type}"
    return np.dtype((content.data.dtype, content.data.shape[1:]))
