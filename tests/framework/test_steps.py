from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from sonic.client.arrays import conform
from sonic.errors import InvalidRequest, ModelFailed, WorkflowError
from sonic.framework import Analyzer, Filter, Module, Offload, OffloadFilter, Producer, Workflow
from sonic.framework.steps import steps
from sonic.specs import DType, ModelSpec, TensorSpec


def steps_of(*modules):
    return steps(Workflow("test", modules).graph(), modules)


class Double(Producer):
    consumes = ("x",)
    produces = ("y",)

    def produce(self, events):
        return {"y": 2 * events.x}


class Small(Filter):
    consumes = ("y",)

    def select(self, events):
        return events.y < 5


class Sum(Analyzer):
    consumes = ("x", "y")

    def analyze(self, events):
        return {"n": len(events), "y": float(ak.sum(events.y))}


class Scorer(Offload):
    model = "m"
    consumes = ("x",)
    produces = ("score",)

    def acquire(self, events):
        return {"x": events.x}

    def produce(self, events, outputs):
        return {"score": outputs["y"]}


def test_a_producer_a_filter_and_an_analyzer(chunk_of):
    chunk = chunk_of(x=[1, 2, 3])
    found = steps_of(Double(), Small(), Sum())
    assert [step.kind for step in found] == ["producer", "filter", "analyzer"]
    assert [step.is_filter for step in found] == [False, True, False]
    for step in found:
        step.run(chunk)
    assert chunk.results == {"Sum": {"n": 2, "y": 6.0}}
    assert [step.events(chunk) for step in found] == [3, 3, 2]


def test_an_analyzer_that_returns_nothing_is_an_error(chunk_of, monkeypatch):
    monkeypatch.setattr(Sum, "analyze", lambda self, events: None)
    (step,) = steps_of(Sum())
    with pytest.raises(TypeError, match="analyze returned None, expected what adds up"):
        step.run(chunk_of(x=[1.0], y=[2.0]))


def test_an_offload(chunk_of):
    chunk = chunk_of(x=[1.0, 2.0])
    (step,) = steps_of(Scorer())
    events = step.view(chunk)
    inputs = step.acquire(events)
    assert type(inputs["x"]) is np.ndarray
    step.produce(chunk, events, {"y": np.array([0.1, 0.2])})
    assert chunk.view(("score",)).score.to_list() == [0.1, 0.2]
    with pytest.raises(ModelFailed, match="NaN"):
        step.produce(chunk, events, {"y": np.array([0.1, np.nan])})


def test_what_is_no_mapping_is_refused(chunk_of, monkeypatch):
    (step,) = steps_of(Scorer())
    events = step.view(chunk_of(x=[1.0]))
    monkeypatch.setattr(Scorer, "acquire", lambda self, events: None)
    with pytest.raises(TypeError, match="acquire returned a NoneType, expected a mapping of inputs by name"):
        step.acquire(events)
    monkeypatch.setattr(Scorer, "produce", lambda self, events, outputs: [events.x])
    with pytest.raises(TypeError, match="returned a list, expected a mapping with score"):
        step.produce(chunk_of(x=[1.0]), events, {})


def test_masked_inputs_reach_the_client_as_they_are_which_refuses_them(chunk_of, monkeypatch):
    masked = np.ma.masked_array([1.0, 2.0], [False, True])
    monkeypatch.setattr(Scorer, "acquire", lambda self, events: {"x": masked})
    (step,) = steps_of(Scorer())
    inputs = step.acquire(step.view(chunk_of(x=[1.0, 2.0])))
    spec = ModelSpec("m", "1", (TensorSpec("x", DType.FP64, (-1,)),), ())
    with pytest.raises(InvalidRequest, match="input 'x' of model 'm' has masked values: fill them first"):
        conform(spec, inputs)


def test_an_offloading_filter(chunk_of):
    class Good(OffloadFilter):
        model = "m"
        consumes = ("x",)

        def acquire(self, events):
            return {"x": events.x}

        def select(self, events, outputs):
            return outputs["y"] > 0.5

    chunk = chunk_of(x=[1.0, 2.0])
    (step,) = steps_of(Good())
    assert step.is_filter
    assert step.kind == "offload"
    step.produce(chunk, step.view(chunk), {"y": np.array([0.1, 0.9])})
    assert chunk.selection.size(1) == 1


@pytest.mark.parametrize("answer", [[1, 0, 1], [True, False], np.ones((3, 1), bool), True])
def test_an_answer_that_is_not_one_bool_an_event_is_refused(chunk_of, answer):
    class Wrong(Filter):
        def select(self, events):
            return answer

    (step,) = steps_of(Wrong())
    with pytest.raises(ValueError, match=r"select returned .* expected bool of shape \(3,\)"):
        step.run(chunk_of(x=[1, 2, 3]))


@pytest.mark.parametrize("hidden", [True, False])
def test_an_answer_with_masked_values_is_refused(chunk_of, hidden):
    class Masked(Filter):
        def select(self, events):
            return np.ma.masked_array([True, True], [False, hidden])

    (step,) = steps_of(Masked())
    chunk = chunk_of(x=[1, 2])
    if hidden:
        with pytest.raises(ValueError, match="select returned masked values: fill them"):
            step.run(chunk)
    else:
        step.run(chunk)
        assert chunk.selection.size(1) == 2


def test_a_filter_on_no_events_may_return_anything_empty(chunk_of):
    class Empty(Filter):
        def select(self, events):
            return []

    chunk = chunk_of(x=np.zeros(0))
    steps_of(Empty())[0].run(chunk)
    assert chunk.selection.size(1) == 0


def test_what_cannot_be_run_is_refused():
    class Odd(Module):
        pass

    class Nameless(Scorer):
        model = ""

    with pytest.raises(WorkflowError, match="module Odd is a Odd: not a Producer"):
        steps_of(Odd())
    with pytest.raises(WorkflowError, match="module Nameless names no model"):
        steps_of(Nameless())
