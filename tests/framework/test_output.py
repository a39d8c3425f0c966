from __future__ import annotations

import json

import awkward as ak
import numpy as np
import pytest
import uproot

from sonic.errors import ModuleError, OutputError
from sonic.framework import Analyzer, Filter, Producer, Workflow
from sonic.framework.finished import Harvest, Kept
from sonic.framework.output import Output
from sonic.framework.sinks import open_sink


class Double(Producer):
    consumes = ("x",)
    produces = ("y",)

    def produce(self, events):
        return {"y": 2 * events.x}


class Large(Filter):
    consumes = ("x",)

    def select(self, events):
        return events.x > 2


class Count(Analyzer):
    consumes = ("x",)

    def analyze(self, events):
        return {"n": len(events), "order": events.x.to_list()}

    def summarize(self, total):
        return {"events": np.int64(total["n"]), "mean": np.float32(total["n"] / 2)}


MODULES = (Double(), Large(), Count())
GRAPH = Workflow("test", MODULES).graph()


def finished(chunks):
    """Chunks as they are after the modules."""
    from sonic.framework.steps import steps

    for chunk in chunks:
        for step in steps(GRAPH, MODULES):
            step.run(chunk)
        yield chunk


def output_of(*sinks, progress=None):
    return Output(MODULES, sinks, total=8, progress=progress)


def harvested(chunks, *kept):
    return map(Harvest(MODULES, GRAPH, kept), finished(chunks))


def metadata(events):
    return json.dumps({"events": events})


@pytest.mark.parametrize(("widen", "expected"), [(True, 8), (False, 5)])
def test_chunks_go_to_the_sink_and_are_counted(tmp_path, number_chunks, widen, expected):
    told = []
    with output_of(open_sink(tmp_path / "o.root"), progress=lambda *at: told.append(at)) as output:
        for chunk in harvested(number_chunks(4), Kept(("x", "y"), widen)):
            output.take(chunk)
        output.commit(metadata)
    assert (output.chunks, output.read, output.written) == (4, 8, [expected])
    assert told == [(2, 8), (4, 8), (6, 8), (8, 8)]
    with uproot.open(tmp_path / "o.root") as file:
        assert file["Events"].num_entries == expected
        assert file["Events"].keys() == (["x", "y", "Large"] if widen else ["x", "y"])


def test_analyzers_are_summed_in_order(number_chunks):
    with output_of() as output:
        for chunk in harvested(number_chunks(4)):
            output.take(chunk)
        output.commit(metadata)
    assert output.totals == {"Count": {"n": 5, "order": [3, 4, 5, 6, 7]}}
    figures = output.summaries()
    assert figures == {"Count": {"events": 5, "mean": 2.5}}
    assert [type(figure) for figure in figures["Count"].values()] == [int, float]


def test_without_commit_nothing_is_left(tmp_path, number_chunks):
    with output_of(open_sink(tmp_path / "o.root")) as output:
        for chunk in harvested(number_chunks(1), Kept(("x",), True)):
            output.take(chunk)
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_has_its_name_keeps_it_when_the_next_cannot_have_its_own(tmp_path, number_chunks):
    with output_of(*(open_sink(tmp_path / name) for name in ("a.root", "b.root"))) as output:
        for chunk in harvested(number_chunks(1), Kept(("x",), True), Kept(("x",), True)):
            output.take(chunk)
        (tmp_path / "b.root").mkdir()
        with pytest.raises(OutputError, match=r"cannot write .*b\.root"):
            output.commit(metadata)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.root", "b.root"]
    with uproot.open(tmp_path / "a.root") as file:
        assert file["Events"].num_entries == 2


def test_results_that_do_not_add_up(number_chunks):
    output = output_of()
    first, second = harvested(number_chunks(2))
    output.take(first)
    second.results["Count"] = {"n": "many"}
    with pytest.raises(ModuleError, match=r"module Count failed on the sum up to chunk 1, .*: TypeError"):
        output.take(second)


def test_an_analyzer_that_cannot_summarise(number_chunks):
    output = output_of()
    for chunk in harvested(number_chunks(1)):
        output.take(chunk)
    output.totals["Count"] = None
    with pytest.raises(ModuleError, match="module Count failed on the sum of all events"):
        output.summaries()


@pytest.mark.parametrize("figures", [5, {"mean": [1]}, {1: 2.0}, {"mean": np.zeros(2)}])
def test_figures_that_are_none(number_chunks, monkeypatch, figures):
    output = output_of()
    for chunk in harvested(number_chunks(1)):
        output.take(chunk)
    monkeypatch.setattr(Count, "summarize", lambda self, total: figures)
    with pytest.raises(ModuleError, match="module Count failed on the sum of all events: "):
        output.summaries()


def test_several_sinks_get_what_each_keeps(tmp_path, number_chunks):
    with output_of(open_sink(tmp_path / "all.root"), open_sink(tmp_path / "passed.parquet")) as output:
        for chunk in harvested(number_chunks(4), Kept(("x", "y"), True), Kept(("y",), False)):
            output.take(chunk)
        output.commit(metadata)
    assert output.written == [8, 5]
    with uproot.open(tmp_path / "all.root") as file:
        assert file["Events"].keys() == ["x", "y", "Large"]
        assert json.loads(file["sonic"])["events"] == 8
    rows = ak.from_parquet(tmp_path / "passed.parquet")
    assert rows.fields == ["y"]
    assert rows.y.to_list() == [6, 8, 10, 12, 14]


def test_no_file_gets_its_name_before_all_are_whole(tmp_path, number_chunks, monkeypatch):
    sinks = open_sink(tmp_path / "one.root"), open_sink(tmp_path / "two.root")

    def full(totals, metadata):
        raise OutputError("disk full")

    monkeypatch.setattr(sinks[1], "close", full)
    with pytest.raises(OutputError, match="disk full"), output_of(*sinks) as output:
        output.commit(metadata)
    assert list(tmp_path.iterdir()) == []
