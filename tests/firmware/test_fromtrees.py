from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sonic.errors import ConfigError, DataError
from sonic.firmware.fromtrees import is_trees, of_conifer, of_onnx, read_xgboost
from sonic.firmware.reference import evaluate

if TYPE_CHECKING:
    from pathlib import Path

ROWS = np.random.default_rng(1).normal(size=(200, 3)).astype(np.float32)


def xgboost_file(file: Path, **changes: Any) -> Path:
    """Two trees of three classes' worth of nothing but what counts: x1 < 0.1 ? (x0 < -0.5 ? 1 : 2) : 3, and 0.25."""
    split = {"base_weights": [0.0] * 5, "split_type": [0] * 5, "split_indices": [1, 0, 0, 0, 0]}
    split |= {"left_children": [1, 3, -1, -1, -1], "right_children": [2, 4, -1, -1, -1]}
    split |= {"split_conditions": [0.1, -0.5, 3.0, 1.0, 2.0]}
    leaf = {"base_weights": [0.0], "split_type": [0], "split_indices": [0], "split_conditions": [0.25]}
    leaf |= {"left_children": [-1], "right_children": [-1]}
    told = {"booster": "gbtree", "objective": "binary:logistic", "base_score": "[5E-1]", "split": split} | changes
    learner = {
        "gradient_booster": {"name": told["booster"], "model": {"trees": [told["split"], leaf], "tree_info": [0, 0]}},
        "learner_model_param": {"base_score": told["base_score"], "num_class": "0", "num_feature": "3"},
        "objective": {"name": told["objective"]},
    }
    file.write_text(json.dumps({"learner": learner}))
    return file


def expected(rows: np.ndarray) -> np.ndarray:
    return np.where(rows[:, 1] < np.float32(0.1), np.where(rows[:, 0] < -0.5, 1.0, 2.0), 3.0) + 0.25


def test_a_file_of_xgboost(tmp_path: Path) -> None:
    rows = ROWS.copy()
    rows[0] = 0.1  # a threshold of XGBoost is a number of float32, and equal is not below
    network = read_xgboost(xgboost_file(tmp_path / "m.json"), "m")
    assert (network.shape, network.outputs_per_row) == ((3,), 1)
    assert np.array_equal(evaluate(network, None, rows)[:, 0], expected(rows))
    for objective, score, start in (("binary:logistic", "0.75", np.log(3)), ("reg:squarederror", "-1.5", -1.5)):
        file = xgboost_file(tmp_path / "m.json", objective=objective, base_score=score)
        assert evaluate(read_xgboost(file), None, rows)[:, 0] == pytest.approx(expected(rows) + start)


def test_xgboost_agrees(tmp_path: Path) -> None:
    xgboost = pytest.importorskip("xgboost")
    for classes, model in ((2, xgboost.XGBClassifier), (3, xgboost.XGBClassifier), (0, xgboost.XGBRegressor)):
        target = ROWS[:, 0] * ROWS[:, 1]
        if classes:
            target = np.digitize(target, [-0.3, 0.3][: classes - 1])
        trained = model(n_estimators=4, max_depth=3, n_jobs=1).fit(ROWS, target)
        trained.save_model(tmp_path / "m.json")
        margin = trained.predict(ROWS, output_margin=True).reshape(len(ROWS), -1)
        assert evaluate(read_xgboost(tmp_path / "m.json"), None, ROWS) == pytest.approx(margin, abs=1e-5)


def test_files_that_hold_no_trees(tmp_path: Path) -> None:
    for changes, says in (
        ({"booster": "dart"}, "given dart"),
        ({"objective": "rank:ndcg"}, "objective 'rank:ndcg' is not known"),
        ({"split": {"split_type": [1], "left_children": [-1], "base_weights": [0]}}, "splits by one number"),
    ):
        with pytest.raises(ConfigError, match=says):
            read_xgboost(xgboost_file(tmp_path / "m.json", **changes))
    around = {"base_weights": [0.0] * 2, "split_indices": [0, 0], "split_conditions": [0.0, 0.0], "split_type": []}
    for children in ([0, -1], [5, -1]):
        loop = around | {"left_children": children, "right_children": [1, -1]}
        with pytest.raises(ConfigError, match=f"tree 0 leads to node {children[0]} twice, or has none such"):
            read_xgboost(xgboost_file(tmp_path / "m.json", split=loop))
    deep = {
        f"{side}_children": [at + step if at % 2 == 0 and at < 300 else -1 for at in range(301)]
        for step, side in enumerate(("left", "right"), 1)
    }
    long = {"base_weights": [0.0] * 301, "split_indices": [0] * 301, "split_conditions": [0.0] * 301, "split_type": []}
    with pytest.raises(ConfigError, match="tree 0 is deeper than 100 splits"):
        read_xgboost(xgboost_file(tmp_path / "m.json", split=long | deep))
    deep = {name: [*values[:1], *[-1] * 300] for name, values in deep.items()}
    with pytest.raises(ConfigError, match="splits by feature -1"):
        read_xgboost(xgboost_file(tmp_path / "m.json", split=long | deep | {"split_indices": [-1] * 301}))
    for score in ("1", "0", "", 2**70):
        with pytest.raises(DataError, match="holds no trees of XGBoost"):
            read_xgboost(xgboost_file(tmp_path / "m.json", base_score=score, objective="binary:logistic"))
    (tmp_path / "m.json").write_text("[" * 100_000)
    with pytest.raises(DataError, match="holds no trees of XGBoost"):
        read_xgboost(tmp_path / "m.json")
    (tmp_path / "m.json").write_text("{}")
    for file in (tmp_path / "m.json", tmp_path / "nothing.json"):
        with pytest.raises(DataError, match="holds no trees of XGBoost"):
            read_xgboost(file)


def ensemble(kind: str, mode: str, **changes: Any) -> Any:
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    leaves = {"TreeEnsembleRegressor": "target", "TreeEnsembleClassifier": "class"}[kind]
    told = {
        "nodes_treeids": [0, 0, 0, 1],
        "nodes_nodeids": [0, 1, 2, 0],
        "nodes_featureids": [2, 0, 0, 0],
        "nodes_values": [0.25, 0.0, 0.0, 0.0],
        "nodes_modes": [mode, "LEAF", "LEAF", "LEAF"],
        "nodes_truenodeids": [1, 0, 0, 0],
        "nodes_falsenodeids": [2, 0, 0, 0],
        f"{leaves}_treeids": [0, 0, 0, 0, 1],
        f"{leaves}_nodeids": [1, 1, 2, 2, 0],
        f"{leaves}_ids": [0, 1, 0, 2, 1],
        f"{leaves}_weights": [1.0, 2.0, 3.0, 4.0, 0.5],
        "base_values": [0.5, 1.0, 0.0],
    } | changes
    labels = changes.get("classlabels_int64s", [0, 1, 2])
    told |= {"n_targets": 3} if leaves == "target" else {"classlabels_int64s": labels}
    outputs = ["y"] if leaves == "target" else ["label", "y"]
    node = helper.make_node(kind, ["x"], outputs, domain="ai.onnx.ml", name="trees", **told)
    given = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [None, 3])
    made = [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [None, 3])]
    if leaves == "class":
        made.insert(0, helper.make_tensor_value_info("label", onnx.TensorProto.INT64, [None]))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(helper.make_graph([node], "g", [given], made), opset_imports=opsets, ir_version=8)


@pytest.mark.parametrize("kind", ["TreeEnsembleRegressor", "TreeEnsembleClassifier"])
@pytest.mark.parametrize("mode", ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT"])
def test_onnx_runtime_agrees(kind: str, mode: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    model = ensemble(kind, mode)
    rows = ROWS.copy()
    rows[0, 2] = 0.25
    (there,) = onnxruntime.InferenceSession(model.SerializeToString()).run(["y"], {"x": rows})
    assert is_trees(model)
    network = of_onnx(model)
    assert network.names == ("x", "y")
    assert np.allclose(evaluate(network, None, rows), there, atol=1e-6)


def test_one_of_two_classes_has_the_scores() -> None:
    alone = {"class_ids": [1] * 3, "class_treeids": [0, 0, 1], "class_nodeids": [1, 2, 0], "classlabels_int64s": [0, 1]}
    model = ensemble("TreeEnsembleClassifier", "BRANCH_LEQ", **alone, class_weights=[1.0, 2.0, 0.5], base_values=[0.25])
    made = evaluate(of_onnx(model), None, ROWS)
    assert np.array_equal(made, np.where(ROWS[:, 2:] <= 0.25, 1.0, 2.0) + 0.75)


@pytest.mark.parametrize("ids", [[0, 1, 1], [0, 0, 0]])
@pytest.mark.parametrize("kind", ["TreeEnsembleRegressor", "TreeEnsembleClassifier"])
def test_sums_to_which_no_tree_adds(kind: str, ids: list[int]) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    told = {"ids": ids, "treeids": [0, 0, 1], "nodeids": [1, 2, 0], "weights": [1.0, 2.0, 0.5]}
    leaves = {"TreeEnsembleRegressor": "target", "TreeEnsembleClassifier": "class"}[kind]
    changes = {f"{leaves}_{name}": each for name, each in told.items()}
    model = ensemble(kind, "BRANCH_LEQ", **changes, base_values=[0.0] * 3)
    (there,) = onnxruntime.InferenceSession(model.SerializeToString()).run(["y"], {"x": ROWS})
    made = evaluate(of_onnx(model), None, ROWS)
    assert made.shape == there.shape == (200, 3)
    assert np.allclose(made, there, atol=1e-6)


def test_nodes_may_come_in_any_order() -> None:
    mixed = {
        "nodes_treeids": [0, 1, 0, 0],
        "nodes_nodeids": [2, 0, 0, 1],
        "nodes_featureids": [0, 0, 2, 0],
        "nodes_values": [0.0, 0.0, 0.25, 0.0],
        "nodes_modes": ["LEAF", "LEAF", "BRANCH_LEQ", "LEAF"],
        "nodes_truenodeids": [0, 0, 1, 0],
        "nodes_falsenodeids": [0, 0, 2, 0],
    }
    there, here = (ensemble("TreeEnsembleRegressor", "BRANCH_LEQ", **changes) for changes in ({}, mixed))
    assert np.array_equal(evaluate(of_onnx(there), None, ROWS), evaluate(of_onnx(here), None, ROWS))


def test_what_onnx_has_and_firmware_has_not() -> None:
    with pytest.raises(ConfigError, match="its nodes count from 0, and 1 is missing"):
        of_onnx(ensemble("TreeEnsembleRegressor", "BRANCH_LEQ", nodes_nodeids=[0, 2, 3, 0]))
    bare = ensemble("TreeEnsembleRegressor", "BRANCH_LEQ")
    del bare.graph.node[0].attribute[:]
    with pytest.raises(ConfigError, match="it has no nodes_treeids"):
        of_onnx(bare)
    with pytest.raises(ConfigError, match="3 sums begin with 2 numbers"):
        of_onnx(ensemble("TreeEnsembleRegressor", "BRANCH_LEQ", base_values=[0.0, 1.0]))
    with pytest.raises(ConfigError, match="compares in one way"):
        of_onnx(ensemble("TreeEnsembleRegressor", "BRANCH_EQ"))
    with pytest.raises(ConfigError, match="tree 1 adds to sum 3 of 3"):
        of_onnx(ensemble("TreeEnsembleRegressor", "BRANCH_LEQ", target_ids=[0, 1, 0, 2, 3]))
    flat = ensemble("TreeEnsembleRegressor", "BRANCH_LEQ")
    del flat.graph.input[0].type.tensor_type.shape.dim[1]
    with pytest.raises(ConfigError, match=r"node 'trees' \(TreeEnsembleRegressor\) is not whole: IndexError"):
        of_onnx(flat)
    with pytest.raises(ConfigError, match="firmware adds trees"):
        of_onnx(ensemble("TreeEnsembleRegressor", "BRANCH_LEQ", aggregate_function="AVERAGE"))


def test_scikit_learns_trees_come_through_conifer() -> None:
    converters = pytest.importorskip("conifer.converters")
    learn = pytest.importorskip("sklearn.ensemble")
    trained = learn.GradientBoostingClassifier(n_estimators=3).fit(ROWS, ROWS[:, 0] * ROWS[:, 1] > 0)
    network = of_conifer(converters.convert_from_sklearn(trained), "m")
    assert evaluate(network, None, ROWS)[:, 0] == pytest.approx(trained.decision_function(ROWS))
    with pytest.raises(ConfigError, match="by several"):
        of_conifer(SimpleNamespace(is_oblique=lambda: True))
