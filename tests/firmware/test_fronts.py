from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sonic.errors import ConfigError, DataError
from sonic.firmware.fronts import numbers, read
from sonic.firmware.layers import Dense, Trees
from sonic.firmware.numbers import Fixed
from sonic.firmware.precision import Precision
from sonic.firmware.reference import evaluate
from sonic.firmware.storage import describe

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

ONE_LEAF = {"base_weights": [0.0], "split_type": [0], "split_indices": [0], "split_conditions": [0.25]}


def onnx_file(file: Path, *nodes: Any, **constants: Any) -> Path:
    onnx = pytest.importorskip("onnx")
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", 3]) for name in ("x", "y")]
    kept = [onnx.numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()]
    opsets = [onnx.helper.make_opsetid(name, version) for name, version in (("", 17), ("ai.onnx.ml", 3), ("qonnx", 1))]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(*n, **how) for n, how in nodes], "g", ends[:1], ends[1:], kept
    )
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), file)
    return file


def test_onnx_has_no_numbers_of_its_own(tmp_path: Path) -> None:
    file = onnx_file(tmp_path / "m.onnx", (("MatMul", ["x", "w"], ["y"]), {}), w=np.eye(3))
    network, precision = read(file, "m")
    assert isinstance(network.layers[0], Dense)
    assert precision is None


def test_qonnx_has(tmp_path: Path) -> None:
    quant = ("Quant", ["x", "scale", "zero", "bits"], ["q"]), {"domain": "qonnx", "narrow": 0}
    product = ("MatMul", ["q", "w"], ["y"]), {}
    file = onnx_file(tmp_path / "m.onnx", quant, product, w=np.eye(3), scale=0.25, zero=0, bits=6)
    _, precision = read(file, "m")
    assert precision is not None
    assert precision.input == Fixed(6, 4, rounding="RND", overflow="SAT")


def test_a_function_behind_quantisers_needs_a_precision(tmp_path: Path) -> None:
    quant = ("Quant", ["x", "scale", "zero", "bits"], ["q"]), {"domain": "qonnx", "narrow": 0}
    product = ("MatMul", ["q", "w"], ["h"]), {}
    file = onnx_file(
        tmp_path / "m.onnx", quant, product, (("Sigmoid", ["h"], ["y"]), {}), w=np.eye(3), scale=0.25, zero=0, bits=4
    )
    with pytest.raises(ConfigError, match="Activation is never exact: give a precision"):
        read(file, "m")
    told = Precision.uniform(Fixed(16, 6))
    network, precision = read(file, "m", precision=told)
    assert precision is told
    assert [type(layer).__name__ for layer in network.layers] == ["Quantiser", "Dense", "Activation"]
    made = evaluate(network, told, [[0.3, 1.9, -9.0]])
    assert made == pytest.approx(1 / (1 + np.exp([[-0.25, -1.75, 2.0]])), abs=0.01)


def test_trees_by_what_is_in_the_file(tmp_path: Path) -> None:
    leaf = {f"nodes_{part}": [0] for part in ("treeids", "nodeids", "featureids", "truenodeids", "falsenodeids")}
    leaf |= {f"target_{part}": [0] for part in ("treeids", "nodeids", "ids")}
    leaf |= {"nodes_values": [0.0], "nodes_modes": ["LEAF"], "target_weights": [2.0], "n_targets": 1}
    trees = ("TreeEnsembleRegressor", ["x"], ["y"]), leaf | {"domain": "ai.onnx.ml"}
    tree = ONE_LEAF | {"left_children": [-1], "right_children": [-1]}
    learner = {
        "gradient_booster": {"name": "gbtree", "model": {"trees": [tree], "tree_info": [0]}},
        "learner_model_param": {"base_score": "0.5", "num_class": "0", "num_feature": "3"},
        "objective": {"name": "reg:squarederror"},
    }
    (tmp_path / "m.json").write_text(json.dumps({"learner": learner}))
    for file in (onnx_file(tmp_path / "m.onnx", trees), tmp_path / "m.json"):
        network, precision = read(file, "m")
        assert isinstance(network.layers[0], Trees)
        assert precision is None


def test_other_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"m\.h5: expected a file that ends in \.onnx, \.keras, \.json"):
        read(tmp_path / "m.h5", "m")
    with pytest.raises(ConfigError, match="JSON is read here"):
        read(tmp_path / "m.ubj", "m")
    with pytest.raises(DataError, match=r"m\.onnx cannot be read: No such file"):
        read(tmp_path / "m.onnx", "m")


def test_who_says_what_numbers(tmp_path: Path) -> None:
    written = Precision(Fixed(7, 3))
    (tmp_path / "n.json").write_text(json.dumps(describe(written)))
    assert numbers("fixed<12,4>").default.weight == Fixed(12, 4)
    assert numbers(str(tmp_path / "n.json")).input == written.input
    with pytest.raises(ConfigError, match="no fixed-point type"):
        numbers("float")
