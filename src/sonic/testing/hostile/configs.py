"""Configurations that no owner would write, as a client sends them with a request to load."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from sonic.testing.hostile.values import integers, json_values, mostly, names, texts

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy

_tensor = st.fixed_dictionaries(
    {"name": mostly(st.sampled_from(("in0", "out0")), names), "data_type": mostly(st.just("TYPE_FP32"), texts)},
    optional={"dims": st.lists(integers, max_size=3), "label_filename": names, "reshape": json_values},
)
_group = st.fixed_dictionaries(
    {},
    optional={"count": integers, "kind": st.sampled_from(("KIND_CPU", "KIND_GPU", "KIND_MODEL")), "gpus": json_values},
)
_queue = st.fixed_dictionaries(
    {},
    optional={
        "default_timeout_microseconds": integers,
        "timeout_action": st.sampled_from(("REJECT", "DELAY")),
        "max_queue_size": integers,
    },
)
_batching = st.fixed_dictionaries(
    {},
    optional={
        "preferred_batch_size": st.lists(integers, max_size=2),
        "max_queue_delay_microseconds": integers,
        "priority_levels": integers,
        "default_priority_level": integers,
        "preserve_ordering": st.booleans(),
        "default_queue_policy": _queue,
        "priority_queue_policy": st.dictionaries(integers.map(str), _queue, max_size=2),
    },
)
_sample = st.fixed_dictionaries(
    {"data_type": st.just("TYPE_FP32"), "dims": st.lists(integers, max_size=3)},
    optional={"zero_data": st.booleans(), "random_data": st.booleans(), "input_data_file": names},
)
_warmup = st.fixed_dictionaries({"batch_size": integers, "inputs": st.fixed_dictionaries({"in0": _sample})})
_step = st.fixed_dictionaries({"model_name": mostly(st.just("m"), names)}, optional={"model_version": integers})
_changes: dict[str, SearchStrategy[Any]] = {
    "name": names,
    "backend": st.sampled_from(("identity", "python", "onnxruntime", "ensemble", "../x", "")),
    "platform": texts,
    "max_batch_size": integers,
    "default_model_filename": names,
    "input": st.lists(_tensor, max_size=2),
    "output": st.lists(_tensor, max_size=2),
    "instance_group": st.lists(_group, max_size=2),
    "dynamic_batching": _batching,
    "version_policy": st.fixed_dictionaries({"specific": st.fixed_dictionaries({"versions": st.lists(integers)})})
    | st.fixed_dictionaries({"latest": st.fixed_dictionaries({"num_versions": integers})}),
    "model_warmup": st.lists(_warmup, max_size=1),
    "ensemble_scheduling": st.fixed_dictionaries({"step": st.lists(_step, max_size=2)}),
    "parameters": st.dictionaries(
        st.sampled_from(("intra_op_thread_count", "merge", "EXECUTION_ENV_PATH")) | names,
        st.fixed_dictionaries({"string_value": texts}) | json_values,
        max_size=2,
    ),
    "response_cache": st.just({"enable": True}),
    "nope": json_values,
}


@st.composite
def configs(draw: DrawFn) -> str:
    """Draw a configuration of an identity model of which one, two or three settings are others, as JSON."""
    config: dict[str, Any] = {
        "backend": "identity",
        "input": [{"name": "in0", "data_type": "TYPE_FP32", "dims": [-1]}],
        "output": [{"name": "out0", "data_type": "TYPE_FP32", "dims": [-1]}],
    }
    for setting in draw(st.lists(st.sampled_from(list(_changes)), min_size=1, max_size=3)):
        config[setting] = draw(_changes[setting])
    return json.dumps(config)


loads: SearchStrategy[Any] = (
    mostly(configs().map(lambda config: {"config": config}), st.dictionaries(texts, json_values, max_size=2))
).map(lambda parameters: {"parameters": parameters})
"""Bodies of a request to load a model."""
