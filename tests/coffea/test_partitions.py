from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest
import uproot

from sonic.coffea import TritonWrapper
from sonic.errors import InvalidRequest

if TYPE_CHECKING:
    from pathlib import Path

dask = pytest.importorskip("dask")
dak = pytest.importorskip("dask_awkward")

PLAIN = {"ssl": False}


class Echo(TritonWrapper):
    """Gives rows back, doubled."""

    def prepare_awkward(self, output_list: list[str], rows: Any) -> Any:
        library = self.get_awkward_lib(rows)
        x = library.values_astype(library.to_regular(rows.x, axis=1), "float32")
        return (output_list, {"x": x, "n": library.values_astype(rows.n[:, None], "int64")}), {}

    def postprocess_awkward(self, return_array: Any, output_list: list[str], rows: Any) -> Any:
        return {name: 2 * array for name, array in return_array.items()}


def rows(count: int) -> ak.Array:
    x = ak.from_regular(np.arange(3.0 * count).reshape(count, 3))
    return ak.zip({"x": x, "n": np.arange(count), "unused": np.arange(count)}, depth_limit=1)


def test_lazily_it_gives_what_it_gives_eagerly(address: str) -> None:
    tagger = Echo(f"triton+grpc://{address}/echo/1", PLAIN)
    events = rows(20)
    outputs = tagger(["m", "y"], dak.from_awkward(events, 3))
    calls = tagger._served().statistics().inference_count
    assert all(isinstance(array, dak.Array) for array in outputs.values())
    computed = dask.compute(outputs, scheduler="synchronous")[0]
    for name, array in tagger(["m", "y"], events).items():
        assert computed[name].to_list() == array.to_list()
    after = tagger._served().statistics().inference_count
    assert after == calls + 20 + 20  # nothing was sent before it was computed, and each partition once


def test_partitions_are_computed_in_other_processes(address: str) -> None:
    class Doubled(TritonWrapper):  # pickled as it stands: a process that is spawned cannot import this file
        def prepare_awkward(self, x: Any) -> Any:
            return (["y"], {"x": x}), {}

        def postprocess_awkward(self, return_array: Any, x: Any) -> Any:
            return 2 * return_array["y"]

    x = ak.from_numpy(np.arange(15, dtype=np.float32).reshape(5, 3))
    y = Doubled(f"triton+grpc://{address}/plain/1", PLAIN)(dak.from_awkward(x, 2))
    assert y.compute(scheduler="processes", num_workers=1).to_list() == (2 * x).to_list()


def test_the_columns_that_it_reads_are_needed_and_no_others(address: str, tmp_path: Path) -> None:
    class AsTheyAre(TritonWrapper):  # so that nothing but the call itself reads them
        def prepare_awkward(self, rows: Any) -> Any:
            return (["y"], {"x": rows.x}), {}

    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    with uproot.recreate(tmp_path / "x.root") as file:
        file["Events"] = {"x": x, "unused": np.arange(4)}
    y = AsTheyAre(f"triton+grpc://{address}/plain/1", PLAIN)(uproot.dask({tmp_path / "x.root": "Events"}))["y"]
    assert list(dak.necessary_columns(y).values()) == [{"x"}]
    assert y.compute(scheduler="synchronous").to_list() == x.tolist()


def test_sizes_that_the_model_leaves_free_come_as_lists(address: str) -> None:
    class Plain(TritonWrapper):
        def prepare_awkward(self, rows: Any) -> Any:
            return (), {"output_list": ["y"], "input_dict": {"x": dak.values_astype(dak.to_regular(rows.x), "float32")}}

    y = Plain(f"triton+grpc://{address}/plain/1", PLAIN)(dak.from_awkward(rows(5), 2))["y"]
    assert "var" in str(y.type)
    assert y.compute(scheduler="synchronous").to_list() == rows(5).x.to_list()


def test_texts(address: str) -> None:
    class Words(TritonWrapper):
        def prepare_awkward(self, words: Any) -> Any:
            return (["y"], {"x": words}), {}

    given = [["a", "b"], ["c", "d"], ["e", "f"]]
    y = Words(f"triton+grpc://{address}/text/1", PLAIN)(dak.from_awkward(ak.Array(given), 2))["y"]
    assert str(y.type) == "?? * 2 * bytes"
    assert y.compute(scheduler="synchronous").to_list() == [[text.encode() for text in row] for row in given]


def test_both_kinds_of_arrays_in_one_call(address: str) -> None:
    tagger = Echo(f"triton+grpc://{address}/echo/1", PLAIN)
    with pytest.raises(InvalidRequest, match="given both in one call"):
        tagger(rows(2), dak.from_awkward(rows(2), 1))
