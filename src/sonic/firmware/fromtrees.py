"""Boosted decision trees as firmware's networks: files of XGBoost, ONNX, and whatever conifer reads.

Firmware gives the sum of the leaves, which is the margin: what a model does to it afterwards, as a logistic function,
is left to whoever takes it.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from math import log
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sonic.errors import ConfigError, DataError, one_line
from sonic.firmware.layers import Trees
from sonic.firmware.network import Network
from sonic.firmware.reading import identifier

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_LOGISTIC = ("binary:logistic", "reg:logistic")
_LINEAR = ("reg:squarederror", "reg:absoluteerror", "binary:logitraw", "multi:softmax", "multi:softprob")
_ONNX = {"TreeEnsembleClassifier": ("class", 1), "TreeEnsembleRegressor": ("target", 0)}
"""What ONNX calls their leaves, and which output the sums are."""
_NODES = ("treeids", "nodeids", "featureids", "values", "truenodeids", "falsenodeids", "modes")
_LEAVES = ("treeids", "ids", "nodeids", "weights")
_SPLITS = {
    b"BRANCH_LEQ": (False, False),
    b"BRANCH_LT": (True, False),
    b"BRANCH_GTE": (True, True),
    b"BRANCH_GT": (False, True),
}
"""By ONNX's name: whether a comparison is strict, and whether it says who goes to the right."""


class _Growing:
    """Trees as they are read."""

    def __init__(self) -> None:
        self._nodes: list[tuple[int, float, int, int, float]] = []
        self._roots: list[int] = []
        self._outputs: list[int] = []

    def add(self, output: int, nodes: Iterable[tuple[int, float, int, int, float]]) -> None:
        """Add a tree: of each node feature, threshold, left, right, value; counted from the tree's first."""
        root, tree = len(self._nodes), list(nodes)
        _check([(left, right) for _, _, left, right, _ in tree], len(self._roots))
        self._roots.append(root)
        self._outputs.append(output)
        for feature, threshold, left, right, value in tree:
            leaf = left < 0
            if feature < 0 and not leaf:
                raise ConfigError(f"tree {len(self._roots) - 1} splits by feature {feature}")
            self._nodes.append(
                (-1, 0.0, -1, -1, value) if leaf else (feature, threshold, root + left, root + right, 0.0)
            )

    def network(self, name: str, given: str, made: str, features: int, start: Sequence[float], strict: bool) -> Network:
        feature, threshold, left, right, value = zip(*self._nodes, strict=True)
        layer = Trees(
            "trees",
            ("x",),
            np.array(feature, np.int64),
            np.array(threshold, np.float64),
            np.array(left, np.int64),
            np.array(right, np.int64),
            np.array(value, np.float64),
            np.array(self._roots, np.int64),
            np.array(self._outputs, np.int64),
            np.array(start, np.float64),
            strict,
        )
        return Network(identifier(name, "x"), "x", (features,), (layer,), tensors=(given, made), model=name)


_DEEPEST = 100
"""Splits one behind the other; trees of firmware have a dozen."""


def _check(children: Sequence[tuple[int, int]], number: int) -> None:
    """Check that each node of a tree is reached in one way at most, and by no more splits than can be."""
    seen: set[int] = set()
    reached = [(0, 0)]
    while reached:
        node, splits = reached.pop()
        if not 0 <= node < len(children) or node in seen:
            raise ConfigError(f"tree {number} leads to node {node} twice, or has none such")
        if splits > _DEEPEST:
            raise ConfigError(f"tree {number} is deeper than {_DEEPEST} splits, which no firmware holds")
        seen.add(node)
        left, right = children[node]
        reached += () if left < 0 else ((left, splits + 1), (right, splits + 1))


def read_xgboost(file: str | os.PathLike[str], name: str = "trees") -> Network:
    """Read what ``Booster.save_model("model.json")`` has written (XGBoost 1.6 and newer); XGBoost is not needed.

    Raises
    ------
    DataError
        If it is no such file.
    ConfigError
        If its trees are no sums of leaves behind numerical comparisons, or its objective is not known here.
    """
    try:
        learner = json.loads(Path(file).read_text())["learner"]
        booster, shape = learner["gradient_booster"], learner["learner_model_param"]
        kind, objective = booster["name"], learner["objective"]["name"]
        if kind != "gbtree":
            raise ConfigError(f"{os.fspath(file)}: firmware has trees that are added, given {kind}")
        count = max(int(shape["num_class"]), int(shape.get("num_target", "1")), 1)
        start = [_margin(float(each), objective) for each in str(shape["base_score"]).strip("[]").split(",")]
        start = start * count if len(start) == 1 else start
        growing = _Growing()
        for tree, output in zip(booster["model"]["trees"], booster["model"]["tree_info"], strict=True):
            if not 0 <= output < len(start):
                raise ValueError(f"a tree adds to output {output} of {len(start)}")
            if any(tree.get("split_type", ())) or len(tree["base_weights"]) != len(tree["left_children"]):
                raise ConfigError(f"{os.fspath(file)}: firmware splits by one number and has one value a leaf")
            conditions = np.array(tree["split_conditions"], np.float32).tolist()  # as XGBoost compares
            growing.add(
                output,
                zip(
                    tree["split_indices"],
                    conditions,
                    tree["left_children"],
                    tree["right_children"],
                    conditions,
                    strict=True,
                ),
            )
        return growing.network(name, "input", "margin", int(shape["num_feature"]), start, strict=True)
    except ConfigError:
        raise
    except Exception as error:
        raise DataError(f"{os.fspath(file)} holds no trees of XGBoost: {one_line(error)}") from error


def _margin(score: float, objective: str) -> float:
    if objective in _LOGISTIC:
        return log(score / (1 - score))
    if objective in _LINEAR:
        return score
    raise ConfigError(f"objective {objective!r} is not known: expected one of {', '.join(_LOGISTIC + _LINEAR)}")


def is_trees(model: Any) -> bool:
    """Whether an ONNX model begins with decision trees."""
    return bool(model.graph.node) and model.graph.node[0].op_type in _ONNX


def of_onnx(model: Any, name: str = "trees") -> Network:
    """Return the trees of an ONNX model: ``TreeEnsembleClassifier`` or ``TreeEnsembleRegressor`` of ai.onnx.ml.

    Raises
    ------
    ConfigError
        If their nodes compare in more than one way, are averaged, or the model is not whole.
    """
    node = model.graph.node[0]
    called = f"node {node.name!r} ({node.op_type})"
    try:
        return _of_node(node, model.graph.input, name)
    except ConfigError as error:
        raise ConfigError(f"{called}: {error}") from None
    except Exception as error:  # what is missing, or of another type or shape than ONNX says
        raise ConfigError(f"{called} is not whole: {one_line(error)}") from error


def _of_node(node: Any, inputs: Iterable[Any], name: str) -> Network:
    from onnx import helper

    told = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    leaves, place = _ONNX[node.op_type]
    needed = [f"nodes_{part}" for part in _NODES] + [f"{leaves}_{part}" for part in _LEAVES]
    if missing := [name for name in needed if name not in told]:
        raise ConfigError(f"it has no {missing[0]}")
    if told.get("aggregate_function", b"SUM") != b"SUM":
        raise ConfigError("firmware adds trees")
    modes = set(told["nodes_modes"]) - {b"LEAF"}
    if len(modes) > 1 or not modes <= set(_SPLITS):
        raise ConfigError(f"firmware compares in one way, given {sorted(modes)}")
    strict, swapped = _SPLITS[modes.pop()] if modes else (False, False)
    values: dict[tuple[int, int], dict[int, float]] = defaultdict(dict)  # by tree and output
    fields = (told[f"{leaves}_{part}"] for part in _LEAVES)
    for tree, output, at, weight in zip(*fields, strict=True):
        values[tree, output][at] = weight
    nodes = _onnx_nodes(told, swapped)
    count = _sums(told, {output for _, output in values})
    growing = _Growing()
    for (tree, output), value in sorted(values.items()):
        if count > 1 and not 0 <= output < count:
            raise ConfigError(f"tree {tree} adds to sum {output} of {count}")
        growing.add(output if count > 1 else 0, [(*split, value.get(at, 0.0)) for at, split in enumerate(nodes[tree])])
    start = list(told.get("base_values", ())) or [0.0] * count
    if len(start) != count:
        raise ConfigError(f"{count} sums begin with {len(start)} numbers")
    (given,) = (each for each in inputs if each.name == node.input[0])
    features = given.type.tensor_type.shape.dim[1].dim_value or max(told["nodes_featureids"]) + 1
    return growing.network(name, given.name, node.output[place], features, start, strict)


def _sums(told: Mapping[str, Any], outputs: set[int]) -> int:
    """Return how many sums a node has: of two classes one may have all the scores."""
    labels = told.get("classlabels_int64s") or told.get("classlabels_strings")
    if labels is None:
        return int(told.get("n_targets", max(outputs) + 1))
    return 1 if len(labels) <= 2 and len(outputs) == 1 else len(labels)


def _onnx_nodes(told: Mapping[str, Any], swapped: bool) -> dict[int, list[tuple[int, float, int, int]]]:
    """Return, by tree, feature, threshold, left and right of each node."""
    nodes: dict[int, list[tuple[int, float, int, int]]] = defaultdict(list)
    for tree, at, feature, threshold, true, false, mode in sorted(
        zip(*(told[f"nodes_{part}"] for part in _NODES), strict=True)
    ):
        if at != len(nodes[tree]):
            raise ConfigError(f"tree {tree}: its nodes count from 0, and {len(nodes[tree])} is missing")
        left, right = (false, true) if swapped else (true, false)
        nodes[tree].append((feature, threshold, -1, -1) if mode == b"LEAF" else (feature, threshold, left, right))
    return nodes


def of_conifer(model: Any, name: str = "trees") -> Network:
    """Return the trees of a model of conifer's, as its converters make them of scikit-learn's, TMVA's or YDF's.

    Parameters
    ----------
    model : conifer.model.ModelBase
        As of ``conifer.converters.convert_from_sklearn(classifier)``.
    name : str

    Raises
    ------
    ConfigError
        If its splits are of several features at once.
    """
    if model.is_oblique():
        raise ConfigError("firmware splits by one feature at a time, and these trees by several")
    growing = _Growing()
    for trees in model.trees:
        for output, tree in enumerate(trees):
            values = np.asarray(tree.value, np.float64) * model.norm
            growing.add(
                output,
                zip(
                    tree.feature,
                    tree.threshold,
                    tree.children_left,
                    tree.children_right,
                    values.reshape(-1),
                    strict=True,
                ),
            )
    start = [float(each) * model.norm for each in model.init_predict[: 1 if model.n_classes == 2 else None]]
    return growing.network(name, "input", "score", model.n_features, start, model.splitting_convention == "<")
