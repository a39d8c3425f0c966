from __future__ import annotations

import awkward as ak
import hist
import numpy as np
import pytest

from sonic.errors import OutputError

pq = pytest.importorskip("pyarrow.parquet")

from sonic.framework.sinks.parquet import ParquetSink  # noqa: E402 - only with pyarrow


@pytest.fixture
def sink(tmp_path):
    made = ParquetSink(tmp_path / "out.parquet")
    yield made
    made.discard()


def test_columns_and_metadata(sink):
    nested = ak.Array([[[1.0], []], []])
    columns = {
        "x": np.array([1, 2], np.uint8),
        "Jet_pt": ak.Array([[1.0, 2.0], []]),
        "nested": nested,
        "vector": np.ones((2, 3), np.float32),
        "text": ak.Array(["a", "b"]),
        "some": ak.Array([None, 1]),
    }
    sink.write({name: ak.to_layout(column) for name, column in columns.items()}, 2)
    sink.check({"h": hist.Hist.new.Reg(2, 0, 1).Double()})
    sink.close({"h": hist.Hist.new.Reg(2, 0, 1).Double()}, '{"events": 2}')
    sink.publish()
    table = pq.read_table(sink.path)
    assert {name: table[name].to_pylist() for name in table.column_names} == {
        name: ak.to_list(column) for name, column in columns.items()
    }
    file = pq.ParquetFile(sink.path)
    assert file.metadata.metadata[b"sonic"] == b'{"events": 2}'
    assert file.metadata.num_rows == 2
    assert ak.from_parquet(sink.path).nested.to_list() == nested.to_list()


def test_nothing_to_keep_is_told_with_the_first_chunk(sink):
    with pytest.raises(OutputError, match="nothing is kept, and Parquet holds no histograms"):
        sink.write({}, 3)


def test_a_type_that_parquet_cannot_hold(sink):
    sink.write({"x": ak.to_layout(np.array([1j]))}, 1)
    with pytest.raises(OutputError, match="column 'x' has type complex128, which Parquet cannot hold"):
        sink.close({}, "{}")


def test_a_type_that_arrow_holds_and_parquet_does_not(sink):
    sink.write({"fits": ak.to_layout([1, 2]), "mixed": ak.to_layout([1, "a"])}, 2)
    with pytest.raises(
        OutputError, match=r"Parquet cannot hold column 'mixed' of type union\[int64, string\]: Unhandled"
    ):
        sink.close({}, "{}")
