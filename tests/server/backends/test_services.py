from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

import sonic
from sonic.errors import ConfigError
from sonic.server.backends.services import service_of
from sonic.specs import DType, TensorSpec

X = {"x": "FP32[-1,3]"}
Y = {"y": "FP32[-1]"}


def total(x):
    return x.sum(axis=1)


def test_a_declared_function_stays_a_function() -> None:
    declared = sonic.service(inputs=X, outputs=Y)(total)
    assert declared is total
    assert declared(np.ones((2, 3), np.float32)).tolist() == [3, 3]
    made = service_of(declared)
    assert (made.name, made.version, made.max_batch, made.instances) == ("total", 1, 0, 1)
    assert made.inputs == (TensorSpec("x", DType.FP32, (-1, 3)),)
    assert made.outputs == (TensorSpec("y", DType.FP32, (-1,)),)


def test_an_input_whose_parameter_has_a_default_is_optional() -> None:
    @sonic.service(inputs={"x": "FP64[-1]", "weight": "FP64[-1]", "shift": "FP64[]"}, outputs={"y": "FP64[-1]"})
    def weighted(x, weight=None, *, shift=0.0, places=3):
        return x

    assert [tensor.optional for tensor in service_of(weighted).inputs] == [False, True, True]
    assert service_of(weighted).inputs[2].shape == ()


def test_a_class_and_a_function_of_anything_can_be_declared() -> None:
    @sonic.service(inputs=X, outputs=Y)
    class Sum:
        def __call__(self, x):
            return x.sum(axis=1)

    @sonic.service(inputs=X, outputs=Y)
    def anything(**arrays):
        return arrays["x"].sum(axis=1)

    assert service_of(Sum).name == "Sum"
    assert service_of(anything).inputs[0].name == "x"


def _no_inputs(): ...
def _other(z): ...
def _two(x, y): ...
async def _async(x): ...
def _generator(x):
    yield x


def _optional(x=None): ...


class _NotCallable: ...


@pytest.mark.parametrize(
    ("function", "changes", "said"),
    [
        (total, {"inputs": {"x": "FP32(-1,3)"}}, r"'total': input 'x': expected a datatype and a .* given 'FP32\("),
        (total, {"inputs": {"x": 3}}, "given 3"),
        (total, {"inputs": {"x": "FP31[-1]"}}, "unknown datatype 'FP31'"),
        (total, {"inputs": {"x": "FP32[-1,0]"}}, "sizes are 1 or more, or -1"),
        (total, {"inputs": {"x": "FP32[-1,,3]"}}, "expected whole numbers"),
        (total, {"inputs": {}}, "it has no inputs"),
        (total, {"outputs": {}}, "it has no outputs"),
        (total, {"name": "a/b"}, "expected a name of letters"),
        (total, {"version": 0}, "version is a whole number from 1, given 0"),
        (total, {"max_batch": -1}, "max_batch is a whole number from 0"),
        (total, {"instances": True}, "instances is a whole number from 1, given True"),
        (total, {"max_delay_us": 5}, "max_delay_us needs a max_batch"),
        (total, {"max_batch": 8, "outputs": {"y": "FP32[3]"}}, r"output 'y' has \[3\]"),
        (total, {"ragged": True}, "max_batch of a ragged service is a whole number from 1"),
        (total, {"ragged": True, "max_batch": 8}, "ragged needs an input with a free dimension"),
        (_no_inputs, {}, "input 'x' is no parameter of the function: it has none"),
        (_other, {}, "input 'x' is no parameter of the function: it has z"),
        (_two, {}, "parameter 'y' is no input and has no default: inputs are x"),
        (_async, {}, "coroutine or generator"),
        (_generator, {}, "coroutine or generator"),
        (_optional, {"max_batch": 8}, "has no default for"),
        (_NotCallable, {}, "a class needs a method __call__"),
        ("text", {"name": "text"}, "expected a function or a class, given str"),
        (np.ones(1).sum, {"name": "bound", "inputs": {"axis": "INT64[]"}}, "expected a function or a class, given"),
    ],
)  # fmt: skip
def test_a_declaration_that_makes_no_sense(function: Any, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        sonic.service(**{"inputs": X, "outputs": Y, **changes})(function)


def test_what_was_not_declared_is_not_served() -> None:
    declared = sonic.service(inputs=X, outputs=Y)(total)

    @functools.wraps(declared)
    def around(x):
        return declared(x)

    for other in (around, len, 3):
        with pytest.raises(
            ConfigError, match=r"expected a folder of models, a file or a function with @sonic\.service"
        ):
            service_of(other)
