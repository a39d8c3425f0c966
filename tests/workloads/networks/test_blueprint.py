from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sonic.protocol.modelconfig import parse
from sonic.workloads.networks.blueprint import Blueprint, Ensemble, Input, Output, Step, labels_file, normal

if TYPE_CHECKING:
    from torch import nn


def never(width: float) -> nn.Module:
    raise AssertionError("no network is needed for its configuration")


JETS = (Input("jets", (4, 3)), Input("kind", (1,), "int32"))
PLAN = Blueprint(
    about="A network.",
    make=never,
    example=normal(JETS),
    inputs=JETS,
    outputs=(Output("scores", (2,), ("b", "light")),),
    max_batch_size=64,
    preferred=(16, 32),
    delay_us=250,
    parameters={"merge": "always"},
    remark="It may be.",
)


def test_the_configuration_says_it_all():
    config = parse(PLAN.config_pbtxt("jets", "onnxruntime_onnx"))
    assert (config.name, config.platform, config.max_batch_size) == ("jets", "onnxruntime_onnx", 64)
    assert [(i.name, list(i.dims)) for i in config.input] == [("jets", [4, 3]), ("kind", [1])]
    (output,) = config.output
    assert (
        (output.name, output.label_filename)
        == ("scores", "scores.labels.txt")
        == ("scores", labels_file(PLAN.outputs[0]))
    )
    assert list(config.dynamic_batching.preferred_batch_size) == [16, 32]
    assert config.dynamic_batching.max_queue_delay_microseconds == 250
    assert config.parameters["merge"].string_value == "always"


def test_torchscript_has_numbered_outputs_and_no_leave_to_merge():
    config = parse(PLAN.config_pbtxt("jets", "pytorch_libtorch"))
    assert [o.name for o in config.output] == ["scores__0"]
    assert "merge" not in config.parameters


def test_one_event_of_any_length():
    hits = Blueprint("Hits.", never, normal(()), (Input("hits", ("hits", 5)),), (Output("beta", ("hits",)),))
    config = parse(hits.config_pbtxt("hits", "onnxruntime_onnx"))
    assert config.max_batch_size == 0
    assert list(config.input[0].dims) == [-1, 5]
    assert not config.HasField("dynamic_batching")


def test_an_ensemble_joins_tensors_of_one_name():
    middle = (Input("features", (7,)),)
    first = Blueprint("First.", never, normal(JETS), JETS, (Output("features", (7,)),), 64)
    second = Blueprint("Second.", never, normal(middle), middle, PLAN.outputs, 64)
    steps = tuple(Step(name, plan, lambda network: network) for name, plan in (("first", first), ("second", second)))
    config = parse(Ensemble(PLAN, steps).config_pbtxt("both"))
    assert config.platform == "ensemble"
    found = [(s.model_name, dict(s.input_map), dict(s.output_map)) for s in config.ensemble_scheduling.step]
    assert found == [
        ("first", {"jets": "jets", "kind": "kind"}, {"features": "features"}),
        ("second", {"features": "features"}, {"scores": "scores"}),
    ]
    assert not config.HasField("dynamic_batching")


def test_an_example_has_the_declared_shapes():
    arrays = PLAN.example(6, np.random.default_rng(0))
    assert {name: (a.shape, a.dtype.name) for name, a in arrays.items()} == {
        "jets": ((6, 4, 3), "float32"),
        "kind": ((6, 1), "int32"),
    }
    again = PLAN.example(6, np.random.default_rng(0))
    assert np.array_equal(arrays["jets"], again["jets"])
