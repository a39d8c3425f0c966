from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.errors import ConfigError
from sonic.protocol.modelconfig import parse
from sonic.server.backends.ensemble.graph import Graph, Step, adapt, check, graph_of
from sonic.specs import DType, ModelSpec, TensorSpec


def step(number: int, inputs: str, outputs: str) -> Step:
    """A step of model a, b ... whose tensors have the names of the ensemble's."""
    return Step(number, "abcdefgh"[number], "", {n: n for n in inputs.split()}, {n: n for n in outputs.split()})


def graph(*steps: tuple[str, str], inputs: str = "x") -> Graph:
    return Graph([step(number, *each) for number, each in enumerate(steps)], inputs.split())


def model(inputs: str, outputs: str, batch: int = 0, dtype: DType = DType.FP32, **shapes: tuple[int, ...]) -> ModelSpec:
    def tensors(names: str) -> tuple[TensorSpec, ...]:
        rows = (-1,) if batch else ()
        return tuple(
            TensorSpec(n.strip("?"), dtype, (*rows, *shapes.get(n.strip("?"), (2,))), n.endswith("?"))
            for n in names.split()
        )

    return ModelSpec("m", "1", tensors(inputs), tensors(outputs), batch)


DIAMOND = (("x", "p q"), ("p", "r"), ("q", "s"), ("r s", "y"))


def test_only_what_is_needed_runs() -> None:
    diamond = graph(*DIAMOND)
    assert diamond.need(["y"]) == {0: ("p", "q"), 1: ("r",), 2: ("s",), 3: ("y",)}
    assert diamond.need(["s"]) == {0: ("q",), 2: ("s",)}
    assert diamond.need(["x"]) == {}


def test_a_configuration_is_read() -> None:
    read = graph_of(
        parse("""input { name: "x" } output { name: "y" } ensemble_scheduling {
        step {
          model_name: "one" model_version: -1
          input_map { key: "i" value: "x" } output_map { key: "o" value: "t" }
        }
        step {
          model_name: "two" model_version: 3
          input_map { key: "i" value: "t" } output_map { key: "o" value: "y" }
        }
        }""")
    )
    assert [(s.model, s.version, s.inputs, s.outputs) for s in read.steps] == [
        ("one", "", {"i": "x"}, {"o": "t"}),
        ("two", "3", {"i": "t"}, {"o": "y"}),
    ]
    assert read.steps[1].label == "step 2 (model 'two')"


@pytest.mark.parametrize(
    ("steps", "complaint"),
    [
        ([], "has no step"),
        ([("x", "x")], r"step 1 \(model 'a'\) makes tensor 'x', which is an input"),
        ([("x", "y"), ("x", "y")], r"'y' is made twice: by step 1 \(model 'a'\) and by step 2 \(model 'b'\)"),
        ([("x z", "y")], r"step 1 \(model 'a'\) takes tensor 'z', which is made by no step"),
        ([("x q", "p"), ("p", "q"), ("x", "y")], r"wait for each other: step 1 \(model 'a'\), step 2 \(model 'b'\)$"),
        ([("x y", "y")], r"wait for each other: step 1"),
    ],
)
def test_a_graph_that_cannot_run(steps: list[tuple[str, str]], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        graph(*steps)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("step {}", "step 1 names no model"),
        ('step { model_name: "a" }', r"step 1 \(model 'a'\) has no input_map"),
        ('step { model_name: "a" input_map { key: "i" value: "x" } }', "has no output_map"),
        (
            'step { model_name: "a" input_map { key: "i" value: "x" } output_map { key: "o" value: "t" } }',
            "output 'y' is made by no step: they make t",
        ),
    ],
)
def test_a_configuration_that_makes_no_sense(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        graph_of(parse(f'input {{ name: "x" }} output {{ name: "y" }} ensemble_scheduling {{ {text} }}'))


CHAIN = graph(("x", "t"), ("t", "y"))


@pytest.mark.parametrize(
    ("ensemble", "first", "second"),
    [
        (model("x", "y"), model("x", "t"), model("t", "y")),
        (model("x", "y", 8), model("x", "t", 8), model("t", "y", 9)),
        (model("x", "y", t=(-1,)), model("x", "t", t=(-1,)), model("t", "y", t=(3,))),
        (model("x", "y", 8), model("x", "t", x=(-1, 2), t=(-1, 2)), model("t", "y", 8)),
        (model("x", "y"), model("x", "t", 8), model("t", "y")),
        (model("x", "y", 8), model("x", "t"), model("t", "y", 8)),
        (model("x?", "y"), model("x?", "t"), model("t", "y")),
    ],
)
def test_models_that_fit(ensemble: ModelSpec, first: ModelSpec, second: ModelSpec) -> None:
    check(CHAIN, ensemble, [first, second])


@pytest.mark.parametrize(
    ("ensemble", "first", "second", "complaint"),
    [
        (
            model("x", "y"),
            model("z", "t"),
            model("t", "y"),
            r"step 1 \(model 'a'\): the model has no input 'x', it has z",
        ),
        (model("x", "y"), model("x", "t"), model("t", "z"), r"step 2 .*: the model has no output 'y', it has z"),
        (model("x", "y"), model("x w", "t"), model("t", "y"), "step 1 .*: nothing is mapped to input 'w'"),
        (
            model("x", "y"),
            model("x", "t"),
            model("t", "y", dtype=DType.FP64),
            r"tensor 't' is FP32 from step 1 \(model 'a'\) and FP64 for step 2 \(model 'b'\)",
        ),
        (model("x", "y", dtype=DType.FP64), model("x", "t"), model("t", "y"), "'x' is FP64 from the ensemble and FP32"),
        (
            model("x", "y"),
            model("x", "t"),
            model("t", "y", t=(3,)),
            r"tensor 't' has the shape \[2\] from step 1 \(model 'a'\) and \[3\] for step 2",
        ),
        (model("x", "y", y=(3,)), model("x", "t"), model("t", "y"), r"'y' has the shape \[2\] .* for the ensemble"),
        (model("x", "y", 8), model("x", "t", 8), model("t", "y", 4), "step 2 .* takes batches of up to 4 rows.* is 8"),
        (model("x?", "y"), model("x", "t"), model("t", "y"), "input 'x' is optional, and step 1 .* cannot do without"),
    ],
)
def test_models_that_do_not(ensemble: ModelSpec, first: ModelSpec, second: ModelSpec, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        check(CHAIN, ensemble, [first, second])


def test_batch_dimensions_come_and_go() -> None:
    row = TensorSpec("x", DType.FP32, (2,))
    rows = TensorSpec("x", DType.FP32, (-1, 2))
    array = np.zeros((1, 2), np.float32)
    assert adapt(array, rows, batches=True) is array
    assert adapt(array[0], rows, batches=True).shape == (1, 2)
    assert adapt(array, row, batches=False).shape == (2,)
    assert adapt(np.zeros((3, 2)), row, batches=False).shape == (3, 2)
    assert adapt(np.zeros(()), row, batches=False).shape == ()


@given(st.data())
def test_any_graph_without_a_cycle_is_taken_and_ordered(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 8))
    steps = []
    for number in range(count):
        taken = data.draw(st.sets(st.sampled_from(["x", *(f"t{n}" for n in range(number))]), min_size=1))
        steps.append(Step(number, "m", "", {n: n for n in sorted(taken)}, {"o": f"t{number}"}))
    shuffled = [
        Step(place, s.model, s.version, s.inputs, s.outputs)
        for place, s in enumerate(data.draw(st.permutations(steps)))
    ]
    made = Graph(shuffled, {"x"})
    wanted = data.draw(st.sampled_from([f"t{n}" for n in range(count)]))
    need = made.need([wanted])
    assert made.makers[wanted] in need
    for number in need:
        for name in made.steps[number].inputs.values():
            assert name == "x" or made.makers[name] in need
