from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sonic.errors import ConfigError, DataError
from sonic.firmware.fromonnx import read
from sonic.firmware.network import Pooling, Upsampling
from sonic.firmware.precision import Precision
from sonic.firmware.reference import evaluate

if TYPE_CHECKING:
    from pathlib import Path

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402


def write(file: Path, nodes: list[Any], shape: list[Any], constants: dict[str, np.ndarray], opset: int = 18) -> Path:
    entrance = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *shape])
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    kept = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "g", [entrance], [made], kept)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    onnx.save(model, file)
    return file


def agree(file: Path, rows: int = 5, tolerance: float = 1e-6) -> None:
    """Firmware's network gives in float64 what ONNX Runtime gives."""
    for host in (True, False):
        network = read(file, "network", host_normalisation=host)
        x = np.random.default_rng(1).normal(size=(rows, *network.given_shape)).astype(np.float32)
        (expected,) = ort.InferenceSession(file).run(None, {"x": x})
        ours = evaluate(network, None, network.prepare(x))
        assert np.allclose(
            ours.reshape(expected.shape), expected, rtol=10 * tolerance, atol=tolerance * max(1, np.abs(expected).max())
        )
        assert network.names == ("x", "y")


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def test_products_and_normalisations(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("BatchNormalization", ["x", "s", "b", "m", "v"], ["n1"], epsilon=1e-3),
        helper.make_node("Gemm", ["n1", "w1", "c1"], ["h1"], transB=1, alpha=0.5, beta=2.0),
        helper.make_node("BatchNormalization", ["h1", "s5", "b5", "m5", "v5"], ["n2"]),
        helper.make_node("LeakyRelu", ["n2"], ["r"], alpha=0.125),
        helper.make_node("MatMul", ["r", "w2"], ["h2"]),
        helper.make_node("Add", ["h2", "c2"], ["y"]),
    ]
    statistics = {f"{k}{n}": normal(size) for n, size in (("", 4), ("5", 5)) for k in "sbm"}
    variances = {"v": abs(normal(4)) + 0.5, "v5": abs(normal(5)) + 0.5}
    weights = {"w1": normal(5, 4), "c1": normal(5), "w2": normal(5, 3), "c2": normal(3)}
    file = write(tmp_path / "m.onnx", nodes, [4], {**statistics, **variances, **weights})
    agree(file)
    for host in (True, False):
        network = read(file, host_normalisation=host)
        assert [type(layer).__name__ for layer in network.layers] == ["Dense", "Activation", "Dense"]
        assert (network.normalisation is not None) is host


_FIRST = [helper.make_node("Add", ["x", "s"], ["a"]), helper.make_node("Mul", ["a", "f"], ["n"])]


@pytest.mark.parametrize(
    ("nodes", "shape", "whether"),
    [
        ([*_FIRST, helper.make_node("MatMul", ["n", "w"], ["y"])], [4], True),
        ([*_FIRST, helper.make_node("Relu", ["n"], ["r"]), helper.make_node("Add", ["r", "n"], ["y"])], [4], True),
        (
            [
                helper.make_node("BatchNormalization", ["x", "g", "b", "m", "v"], ["n"]),
                helper.make_node("Conv", ["n", "c"], ["i"], pads=[1, 0, 1, 0]),
                helper.make_node("Flatten", ["i"], ["r"]),
                helper.make_node("MatMul", ["r", "k"], ["y"]),
            ],
            [2, 3, 3],
            True,
        ),
        ([*_FIRST, helper.make_node("Add", ["n", "x"], ["y"])], [4], False),  # the input is taken as it is, too
        ([*_FIRST[:1], helper.make_node("Identity", ["a"], ["y"])], [4], False),  # nothing would be left
    ],
)
def test_what_the_host_can_do(tmp_path: Path, nodes: list[Any], shape: list[int], whether: bool) -> None:
    of_rows = {"f": normal(1, 4), "s": normal(4), "w": normal(4, 2)}
    of_images = {name: normal(2) for name in ("g", "b", "m")} | {"v": abs(normal(2)) + 0.5}
    of_images |= {"c": normal(2, 2, 1, 1), "k": normal(30, 2)}
    file = write(tmp_path / "m.onnx", nodes, shape, of_rows if len(shape) == 1 else of_images)
    assert (read(file).normalisation is not None) is whether
    agree(file)


@pytest.mark.parametrize("last", [False, True])
def test_images_with_channels_first_and_last(tmp_path: Path, last: bool) -> None:
    nodes = [helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2])] if last else []
    first = "t" if last else "x"
    nodes += [
        helper.make_node("Conv", [first, "w", "b"], ["c"], pads=[1, 0, 1, 2], strides=[1, 2]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Conv", ["r", "w2"], ["c2"]),
        helper.make_node("Mul", ["c2", "f"], ["s"]),
        helper.make_node("MaxPool", ["s"], ["p"], kernel_shape=[2, 1]),
        helper.make_node("Flatten", ["p"], ["row"]),
        helper.make_node("Gemm", ["row", "w3"], ["y"]),
    ]
    constants = {
        "w": normal(4, 2, 3, 3),
        "b": normal(4),
        "w2": normal(3, 4, 2, 2),
        "f": normal(1, 3, 1, 1),
        "w3": normal(3 * 4 * 3, 2),
    }
    agree(write(tmp_path / "m.onnx", nodes, [6, 7, 2] if last else [2, 6, 7], constants))


@pytest.mark.parametrize("kind", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_padding_that_has_a_name(tmp_path: Path, kind: str) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], auto_pad=kind, strides=[2, 1]),
        helper.make_node("MaxPool", ["c"], ["p"], auto_pad="VALID", kernel_shape=[2, 2]),
        helper.make_node("GlobalMaxPool", ["p"], ["g"]),
        helper.make_node("Flatten", ["g"], ["y"]),
    ]
    agree(write(tmp_path / "m.onnx", nodes, [2, 7, 8], {"w": normal(3, 2, 4, 3)}))


def test_images_that_become_larger(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
        # Numbers that stand five times beside each other, as PyTorch writes that, and before a normalisation.
        helper.make_node("Unsqueeze", ["t", "last"], ["u"]),
        helper.make_node("Expand", ["u", "times"], ["e"]),
        helper.make_node("Reshape", ["e", "shape"], ["wide"]),
        helper.make_node("BatchNormalization", ["wide", "s", "b", "m", "v"], ["n"]),
        helper.make_node("Conv", ["n", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Resize", ["c", "", "scales"], ["r"], coordinate_transformation_mode="asymmetric",
                         nearest_mode="floor"),
        helper.make_node("Resize", ["r", "", "", "sizes"], ["r2"]),
        helper.make_node("Flatten", ["r2"], ["f"]),
        helper.make_node("Gemm", ["f", "k"], ["g"]),
        # Zero times the input, which is there for NaN alone.
        helper.make_node("Mul", ["x", "zero"], ["z"]),
        helper.make_node("Reshape", ["z", "row"], ["zr"]),
        helper.make_node("ReduceSum", ["zr", "one"], ["zs"], keepdims=1),
        helper.make_node("Add", ["g", "zs"], ["y"]),
    ]  # fmt: skip
    constants = {
        "last": np.array([4]), "times": np.array([1, 1, 1, 1, 5]), "shape": np.array([-1, 2, 3, 10]),
        "w": normal(2, 2, 3, 3), "scales": np.array([1, 1, 2, 1], np.float32), "sizes": np.array([1, 2, 6, 20]),
        "k": normal(240, 2), "zero": np.float32(0), "row": np.array([-1, 12]), "one": np.array([1]),
        **{name: normal(2) for name in "sbm"}, "v": abs(normal(2)) + 0.5,
    }  # fmt: skip
    file = write(tmp_path / "m.onnx", nodes, [3, 2, 2], constants)
    agree(file, rows=1)  # which is what `sizes` has
    assert [layer.times for layer in read(file).layers if isinstance(layer, Upsampling)] == [(1, 5), (2, 1), (1, 2)]
    assert read(file).normalisation is not None  # before the image becomes larger, which is the same


def test_one_dimension_means_and_branches(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1, 1]),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("Conv", ["r", "w2"], ["b"], pads=[1, 1]),
        helper.make_node("Add", ["r", "b"], ["s"]),
        helper.make_node("GlobalAveragePool", ["s"], ["g"]),
        helper.make_node("Reshape", ["g", "shape"], ["row"]),
        helper.make_node("Gemm", ["row", "w3"], ["y"]),
    ]
    constants = {"w": normal(3, 2, 3), "w2": normal(3, 3, 3), "shape": np.array([-1, 3]), "w3": normal(3, 2)}
    agree(write(tmp_path / "m.onnx", nodes, [2, 8], constants))


def test_a_mean_that_fixed_point_has_not(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("GlobalAveragePool", ["c"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("Gemm", ["f", "k"], ["y"]),
    ]
    file = write(tmp_path / "m.onnx", nodes, [2, 3, 5], {"w": normal(3, 2, 1, 1), "k": normal(3, 2)})
    agree(file)
    network = read(file)
    assert not [layer for layer in network.layers if isinstance(layer, Pooling)]
    Precision().check(network)


def test_functions_from_tables_and_merges(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Sigmoid", ["c"], ["s"]),
        helper.make_node("Mul", ["c", "s"], ["m"]),
        helper.make_node("Tanh", ["c"], ["t"]),
        helper.make_node("Sub", ["m", "t"], ["d"]),
        helper.make_node("Concat", ["d", "s", "t"], ["j"], axis=1),
        helper.make_node("Shape", ["j"], ["sizes"]),
        helper.make_node("Gather", ["sizes", "zero"], ["rows"], axis=0),
        helper.make_node("Concat", ["rows", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["j", "target"], ["row"]),
        helper.make_node("Flatten", ["d"], ["other"]),
        helper.make_node("Concat", ["other", "row"], ["both"], axis=-1),
        helper.make_node("Gemm", ["both", "k"], ["h"]),
        helper.make_node("Sub", ["one", "h"], ["u"]),
        helper.make_node("Div", ["u", "four"], ["v"]),
        helper.make_node("Softmax", ["v"], ["y"]),
    ]
    scalars = {"zero": np.array([0]), "rest": np.array([-1]), "one": np.float32(1), "four": np.float32(4)}
    constants = {"w": normal(3, 2, 2, 2), "k": normal(12 * 9 + 12 * 3, 4)}
    file = write(tmp_path / "m.onnx", nodes, [2, 4, 5], {**constants, **scalars})
    agree(file)
    kinds = [type(layer).__name__ for layer in read(file).layers]
    assert [kind for kind in kinds if kind in ("Product", "Difference", "Concatenation", "Softmax")] == [
        "Product", "Difference", "Concatenation", "Concatenation", "Concatenation", "Softmax"
    ]  # fmt: skip


def cell(kind: str, given: str, outputs: list[str], name: str, channels: int, states: int, **more: Any) -> Any:
    """Return a node and its constants."""
    gates = {"GRU": 3, "LSTM": 4}[kind] * states
    shapes = {"w": (1, gates, channels), "r": (1, gates, states), "b": (1, 2 * gates)}
    constants = {f"{name}{part}": normal(*shape) / 2 for part, shape in shapes.items()}
    more = more | ({"linear_before_reset": 1} if kind == "GRU" and "linear_before_reset" not in more else {})
    return helper.make_node(kind, [given, *constants], outputs, hidden_size=states, name=name, **more), constants


def test_recurrent_networks(tmp_path: Path) -> None:
    first, constants = cell("GRU", "seq", ["steps"], "g", 3, 4)
    second, more = cell("LSTM", "inner", ["", "last"], "l", 4, 2)
    nodes = [
        helper.make_node("Transpose", ["x"], ["seq"], perm=[1, 0, 2]),
        first,
        helper.make_node("Squeeze", ["steps", "one"], ["inner"]),
        second,
        helper.make_node("Squeeze", ["last", "zero"], ["h"]),
        helper.make_node("Gemm", ["h", "k"], ["y"]),
    ]
    axes = {"one": np.array([1]), "zero": np.array([0])}
    file = write(tmp_path / "m.onnx", nodes, [5, 3], {**constants, **more, **axes, "k": normal(2, 3)})
    agree(file)
    assert [getattr(layer, "every_step", None) for layer in read(file).layers] == [True, False, None]


@pytest.mark.parametrize("index", [-1, 4, [-1]])
def test_the_last_step(tmp_path: Path, index: Any) -> None:
    """Of a batch that comes first again, as PyTorch writes it."""
    node, constants = cell("LSTM", "seq", ["steps"], "l", 3, 4)
    nodes = [
        helper.make_node("Transpose", ["x"], ["seq"], perm=[1, 0, 2]),
        node,
        helper.make_node("Squeeze", ["steps", "one"], ["inner"]),
        helper.make_node("Transpose", ["inner"], ["rows"], perm=[1, 0, 2]),
        helper.make_node("Gather", ["rows", "at"], ["last"], axis=1),
        helper.make_node("Flatten", ["last"], ["h"]),
        helper.make_node("Gemm", ["h", "k"], ["y"]),
    ]
    more = {"one": np.array([1]), "at": np.array(index), "k": normal(4, 3)}
    file = write(tmp_path / "m.onnx", nodes, [5, 3], {**constants, **more})
    agree(file)
    assert read(file).shapes["l"] == (4,)


def test_dimensions_of_one_move(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Unsqueeze", ["x", "one"], ["i"]),
        helper.make_node("Conv", ["i", "w"], ["c"]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Unsqueeze", ["r", "two"], ["wide"]),
        helper.make_node("ReduceMean", ["wide", "both"], ["m"], keepdims=0),
        helper.make_node("Gemm", ["m", "k"], ["h"]),
        helper.make_node("Reshape", ["h", "square"], ["sq"]),
        helper.make_node("Transpose", ["sq"], ["t"], perm=[0, 2, 1]),
        helper.make_node("Conv", ["t", "v"], ["c2"]),
        helper.make_node("GlobalMaxPool", ["c2"], ["p"]),
        helper.make_node("Squeeze", ["p", "two"], ["y"]),
    ]
    axes = {"one": np.array([1]), "two": np.array([2]), "both": np.array([2, 3]), "square": np.array([-1, 3, 2])}
    weights = {"w": normal(3, 1, 3), "k": normal(3, 6), "v": normal(2, 2, 2)}
    agree(write(tmp_path / "m.onnx", nodes, [9], {**axes, **weights}))


def test_axes_as_they_were_named_before(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Unsqueeze", ["x"], ["i"], axes=[1]),
        helper.make_node("Relu", ["i"], ["r"]),
        helper.make_node("Squeeze", ["r"], ["y"], axes=[1]),
    ]
    agree(write(tmp_path / "m.onnx", nodes, [9], {}, opset=11))


def test_an_image_whose_numbers_are_changed_before_anything_else(tmp_path: Path) -> None:
    """As they are normalised channel by channel, of which the host can do the first part, or cut."""
    change = [helper.make_node("Sub", ["x", "m"], ["a"]), helper.make_node("Div", ["a", "s"], ["n"])]
    cut = [helper.make_node("Relu", ["x"], ["r"]), helper.make_node("Mul", ["r", "half"], ["n"])]
    behind = [
        helper.make_node("Conv", ["n", "w"], ["c"]),
        helper.make_node("Conv", ["n", "w"], ["d"]),
        helper.make_node("Mul", ["c", "d"], ["p"]),
        helper.make_node("Flatten", ["p"], ["row"]),
        helper.make_node("Gemm", ["row", "k"], ["y"]),
    ]
    constants = {"m": normal(2, 1, 1), "s": abs(normal(1, 2, 1, 1)) + 1, "half": np.float32(0.5)}
    constants |= {"w": normal(3, 2, 1, 2), "k": normal(36, 2)}
    for nodes, whether in ((change, True), (cut, False)):
        file = write(tmp_path / "m.onnx", [*nodes, *behind], [2, 4, 4], constants)
        agree(file)
        assert (read(file).normalisation is not None) is whether


@pytest.mark.parametrize("shape", [(3,), (1, 3), (4, 1), (3, 4, 3)])
def test_numbers_along_another_dimension_than_channels(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """ONNX lays a row of three beside the last dimension of an image, of which there are as many as channels here."""
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("Add", ["c", "b"], ["y"], name="odd")]
    file = write(tmp_path / "m.onnx", nodes, [2, 4, 3], {"w": normal(3, 2, 1, 1), "b": normal(*shape)})
    with pytest.raises(ConfigError, match=r"node 'odd' \(Add\): it has numbers of shape .* firmware one for each"):
        read(file)


@pytest.mark.parametrize(
    "said", [{"value_float": 2.0}, {"value_floats": [1.0, 2.0, 3.0, 4.0]}, {"value_int": 3}, {"value_ints": [4]}]
)
def test_constants_as_their_nodes_say_them(tmp_path: Path, said: dict[str, Any]) -> None:
    whole = [helper.make_node("Cast", ["c"], ["k"], to=TensorProto.FLOAT)]
    nodes = [helper.make_node("Constant", [], ["c"], **said), *whole, helper.make_node("Mul", ["x", "k"], ["a"])]
    agree(write(tmp_path / "m.onnx", [*nodes, helper.make_node("Relu", ["a"], ["y"])], [4], {}))


def test_constants_are_computed_as_their_opset_has_it(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Unsqueeze", ["b"], ["row"], axes=[0]),
        helper.make_node("ReduceSum", ["square"], ["t"], axes=[0], keepdims=0),
        helper.make_node("Add", ["x", "row"], ["a"]),
        helper.make_node("Mul", ["a", "t"], ["m"]),
        helper.make_node("Relu", ["m"], ["y"]),
    ]
    agree(write(tmp_path / "m.onnx", nodes, [4], {"b": normal(4), "square": normal(3, 4)}, opset=11))


@pytest.mark.parametrize("operator", ["Upsample-7", "Upsample-9", "Resize-10", "Resize-18", "Resize-19"])
def test_repeated_pixels_by_opset(tmp_path: Path, operator: str) -> None:
    name, opset = operator.split("-")
    inputs, more = {
        "7": (["c"], {"scales": [1.0, 1.0, 2.0, 3.0]}),
        "9": (["c", "all"], {}),
        "10": (["c", "all"], {}),
        "18": (["c", "", "two"], {"axes": [2, 3]}),
        "19": (["c", "", "", "sizes"], {"axes": [-2, -1]}),
    }[opset]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node(name, inputs, ["u"], **more),
        helper.make_node("Flatten", ["u"], ["row"]),
        helper.make_node("Gemm", ["row", "k", "b"], ["y"]),  # whose bias was no option then
    ]
    scales = {"all": np.array([1, 1, 2, 3], np.float32), "two": np.array([2, 3], np.float32), "sizes": np.array([4, 9])}
    taken = {each: scales[each] for each in inputs[1:] if each}
    constants = {"w": normal(3, 2, 1, 1), "k": normal(3 * 4 * 9, 2), "b": np.zeros(2, np.float32)}
    file = write(tmp_path / "m.onnx", nodes, [2, 2, 3], constants | taken, int(opset))
    agree(file)
    assert [layer.times for layer in read(file).layers if isinstance(layer, Upsampling)] == [(2, 3)]


def test_what_adds_nothing(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Mul", ["x", "zero"], ["a"]),
        helper.make_node("Mul", ["x", "zero"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["c"]),
        helper.make_node("Add", ["c", "x"], ["d"]),
        helper.make_node("Concat", ["d"], ["e"], axis=1),
        helper.make_node("Relu", ["e"], ["y"]),
    ]
    agree(write(tmp_path / "m.onnx", nodes, [4], {"zero": np.float32(0)}))


def test_a_constant_that_cannot_be_computed(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Reshape", ["w", "odd"], ["v"], name="fold"),
        helper.make_node("Gemm", ["x", "v"], ["y"]),
    ]
    file = write(tmp_path / "m.onnx", nodes, [4], {"w": normal(4, 4), "odd": np.array([3, 5])})
    with pytest.raises(ConfigError, match=r"node 'fold' \(Reshape\): its constant is unknown"):
        read(file)


def test_means_of_windows_become_convolutions(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("AveragePool", ["c"], ["m"], kernel_shape=[3, 2], strides=[1, 2]),
        helper.make_node("Relu", ["m"], ["r"]),
        helper.make_node("GlobalMaxPool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["y"]),
    ]
    file = write(tmp_path / "m.onnx", nodes, [2, 5, 6], {"w": normal(3, 2, 1, 1)})
    agree(file)
    network = read(file)
    assert [type(layer).__name__ for layer in network.layers].count("Convolution") == 2
    Precision().check(network)


@pytest.mark.parametrize(
    ("kind", "outputs", "more", "says"),
    [
        ("GRU", ["y"], {"linear_before_reset": 0}, "linear_before_reset is to be 1"),
        ("LSTM", ["y"], {"direction": "reverse"}, "no direction but b'forward', given b'reverse'"),
        ("LSTM", ["y"], {"activations": ["Sigmoid", "Relu", "Tanh"]}, "gates are sigmoids, and its states tanh"),
        ("GRU", ["y"], {"clip": 1.0}, "without a bound"),
        ("LSTM", ["", "", "y"], {}, "no memory"),
    ],
)
def test_recurrent_networks_that_firmware_has_not(
    tmp_path: Path, kind: str, outputs: list[str], more: dict[str, Any], says: str
) -> None:
    node, constants = cell(kind, "seq", outputs, "r", 3, 2, **more)
    nodes = [helper.make_node("Transpose", ["x"], ["seq"], perm=[1, 0, 2]), node]
    with pytest.raises(ConfigError, match=rf"node 'r' \({kind}\): .*{says}"):
        read(write(tmp_path / "m.onnx", nodes, [5, 3], constants))


def test_what_others_need_is_not_changed(tmp_path: Path) -> None:
    """A normalisation is taken into the layer before it only if nobody else takes what that gives."""
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["h"]),
        helper.make_node("Mul", ["h", "f"], ["s"]),
        helper.make_node("Relu", ["s"], ["r"]),
        helper.make_node("Add", ["h", "r"], ["sum"]),
        helper.make_node("Mul", ["sum", "f"], ["t"]),
        helper.make_node("Gemm", ["t", "v"], ["u"]),
        helper.make_node("Gemm", ["t", "v"], ["u2"]),
        helper.make_node("Add", ["u", "u2"], ["y"]),
    ]
    agree(write(tmp_path / "m.onnx", nodes, [4], {"w": normal(4, 4), "f": normal(4), "v": normal(4, 2)}))


@pytest.mark.parametrize("alias", [("Identity", ["h"]), ("Reshape", ["h", "row"])])
def test_what_others_need_by_another_name_is_not_changed(tmp_path: Path, alias: tuple[str, list[str]]) -> None:
    """Whoever takes a tensor under a second name is one who needs it."""
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["h"]),
        helper.make_node(alias[0], alias[1], ["a"]),
        helper.make_node("Mul", ["a", "f"], ["s"]),
        helper.make_node(alias[0], alias[1], ["b"]),
        helper.make_node("LayerNormalization", ["b", "one"], ["n"]),
        helper.make_node("Add", ["s", "n"], ["sum"]),
        helper.make_node("Add", ["sum", "h"], ["y"]),
    ]
    constants = {"w": normal(4, 4), "f": normal(4), "one": np.ones(4, np.float32), "row": np.array([0, 4])}
    agree(write(tmp_path / "m.onnx", nodes, [4], constants))


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_order_of_operators_is_what_onnx_runtime_computes(tmp_path: Path, data: st.DataObject) -> None:
    """Rows go through operators that are folded, renamed and merged as they come."""
    made, nodes = ["x"], []
    for number in range(data.draw(st.integers(1, 9))):
        kind = data.draw(st.sampled_from([*_ONE, "Sum"]))
        given = [data.draw(st.sampled_from(made)) for _ in range(2 if kind == "Sum" else 1)]
        operator, constants = ("Add", []) if kind == "Sum" else _ONE[kind]
        made.append(f"t{number}")
        nodes.append(helper.make_node(operator, [*given, *constants], [made[-1]]))
    taken = {name for node in nodes for name in node.input}
    ends = [name for name in made if name not in taken]
    for number, name in enumerate(ends):
        nodes.append(helper.make_node("Add", [f"s{number - 1}" if number else "x", name], [f"s{number}"]))
    nodes.append(helper.make_node("Relu", [nodes[-1].output[0]], ["y"]))
    statistics = {"mean": normal(4), "variance": np.ones(4, np.float32), "row": np.array([0, 4])}
    constants = {"w": 0.5 * normal(4, 4), "c": normal(4), "f": normal(1, 4)[0], **statistics}
    agree(write(tmp_path / "m.onnx", nodes, [4], constants), tolerance=1e-4)


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_image_is_what_onnx_runtime_computes(tmp_path: Path, data: st.DataObject) -> None:
    """Numbers of images change one by one, are folded and pooled, and come together, in any order."""
    constants: dict[str, np.ndarray] = {}
    nodes: list[Any] = []
    images = [("x", (2, 5, 3))]  # as high as it has channels elsewhere, so that a row of numbers may be of either

    def constant(*shape: int) -> str:
        name = f"k{len(constants)}"
        constants[name] = 0.5 * np.random.default_rng(len(constants)).normal(size=shape).astype(np.float32) + 0.5
        return name

    for number in range(data.draw(st.integers(1, 7))):
        given, (channels, *sizes) = data.draw(st.sampled_from(images[-3:]))
        kind = data.draw(st.sampled_from(["Add", "Sub", "Mul", "Div", "Relu", "Tanh", "Identity", "BatchNormalization",
                                          "Conv", "MaxPool", "AveragePool", "Concat", "Sum"]))  # fmt: skip
        more: dict[str, Any] = {}
        operator, inputs = kind, [given]
        if kind in ("Add", "Sub", "Mul", "Div"):
            inputs.append(constant(*data.draw(st.sampled_from([(), (1,), (channels, 1, 1), (1, channels, 1, 1)]))))
        elif kind == "BatchNormalization":
            inputs += [constant(channels) for _ in range(4)]
            constants[inputs[-1]] = abs(constants[inputs[-1]]) + 0.5
        elif kind == "Conv":
            inputs.append(constant(made := data.draw(st.sampled_from([2, 3])), channels, 3, 1))
            channels, more = made, {"pads": [1, 0, 1, 0], "strides": [1, data.draw(st.integers(1, 2))]}
            sizes[1] = (sizes[1] - 1) // more["strides"][1] + 1
        elif kind.endswith("Pool"):
            more = {"kernel_shape": [2 if size > 1 else 1 for size in sizes]}
            sizes = [size - each + 1 for size, each in zip(sizes, more["kernel_shape"], strict=True)]
        elif kind in ("Concat", "Sum"):
            others = [(name, shape) for name, shape in images if list(shape[1:]) == sizes]
            name, shape = data.draw(st.sampled_from([each for each in others if kind == "Concat" or
                                                     each[1][0] == channels]))  # fmt: skip
            operator, more = ("Concat", {"axis": 1}) if kind == "Concat" else ("Add", {})
            inputs.append(name)
            channels += shape[0] if kind == "Concat" else 0
        nodes.append(helper.make_node(operator, inputs, [f"t{number}"], **more))
        images.append((f"t{number}", (channels, *sizes)))
    last, (channels, *sizes) = images[-1]
    nodes.append(helper.make_node("Conv", [last, constant(2, channels, 1, 1)], ["last"]))
    nodes += [helper.make_node("Flatten", ["last"], ["row"]), helper.make_node("Gemm", ["row", "w"], ["y"])]
    constants["w"] = 0.3 * normal(2 * int(np.prod(sizes)), 2)
    file = write(tmp_path / "m.onnx", nodes, [2, 5, 3], constants)
    agree(file, tolerance=1e-4)


_ONE: dict[str, tuple[str, list[str]]] = {
    "product": ("Gemm", ["w", "c"]),
    "factor": ("Mul", ["f"]),
    "shift": ("Sub", ["c"]),
    "normalisation": ("BatchNormalization", ["f", "c", "mean", "variance"]),
    "row": ("LayerNormalization", ["f", "c"]),
    "cut": ("Relu", []),
    "name": ("Identity", []),
    "shape": ("Reshape", ["row"]),
}


def test_a_network_is_not_called_as_its_input(tmp_path: Path) -> None:
    file = write(tmp_path / "x.onnx", [helper.make_node("Relu", ["x"], ["y"])], [4], {})
    network = read(file, "x")
    assert (network.name, network.input, network.model) == ("n_x", "x", "x")


def test_what_onnx_need_not_say(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w", ""], ["c"]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Flatten", ["r"], ["row"]),
        helper.make_node("Gemm", ["row", "w3", "b"], ["y"]),  # a bias with a dimension for the batch
    ]
    constants = {"w": normal(3, 2, 2, 2), "w3": normal(12, 2), "b": normal(1, 2)}
    agree(write(tmp_path / "m.onnx", nodes, [2, 3, 3], constants))


@pytest.mark.parametrize(
    ("nodes", "says"),
    [
        ([helper.make_node("Sin", ["x"], ["y"], name="wave")], r"node 'wave' \(Sin\): firmware knows no such operator"),
        ([helper.make_node("MatMul", ["x", "x"], ["y"], name="p")], r"node 'p' \(MatMul\): 'x' is computed"),
        ([helper.make_node("Reshape", ["x", "odd"], ["y"])], r"does not keep the batch, of \[4\] by \[2, 3\]"),
        ([helper.make_node("Expand", ["x", "odd"], ["y"])], "repeats numbers only in a new last dimension"),
        ([helper.make_node("Resize", ["x", "", "w"], ["y"], mode="linear")], "does not interpolate"),
        ([helper.make_node("Gather", ["x", "one"], ["y"], axis=1)], "the last step of a recurrent network"),
        ([helper.make_node("Concat", ["x", "x"], ["y"], axis=0)], "joins channels, and nothing else"),
        ([helper.make_node("GRU", ["x", "w", "w"], ["y"], linear_before_reset=1)], "it takes steps, rows, and numbers"),
        ([helper.make_node("Gemm", ["x", "w"], ["y"], transA=1)], "its first input is transposed"),
        ([helper.make_node("Relu", ["x"], ["z"])], "output 'y' is not computed from the input"),
        ([helper.make_node("Div", ["x", "zero"], ["y"])], "its factor is not finite"),
        ([helper.make_node("Mul", ["x", "zero"], ["z"]), helper.make_node("Relu", ["z"], ["y"])], "'z' is zero times"),
        (
            [helper.make_node("Gemm", ["x", "v"], ["h"]), helper.make_node("Squeeze", ["h", "axis"], ["y"])],
            "output 'y' has no dimension but the batch's",
        ),
        (
            [helper.make_node("BatchNormalization", ["x", *["zero"] * 4], ["y", "m", "v"], training_mode=1)],
            "it normalises by the batch",
        ),
        ([helper.make_node("MaxPool", ["x"], ["y"], name="m")], r"node 'm' \(MaxPool\) is not whole: KeyError"),
    ],
)
def test_what_firmware_cannot_have(tmp_path: Path, nodes: list[Any], says: str) -> None:
    constants = {"w": normal(4, 4), "odd": np.array([-1, 2, 3]), "one": np.array(1), "zero": np.zeros(4, np.float32)}
    constants |= {"v": normal(4, 1), "axis": np.array([1])}
    file = write(tmp_path / "m.onnx", nodes, [4], constants)
    with pytest.raises(ConfigError, match=says):
        read(file)


@pytest.mark.parametrize("operator", ["MaxPool", "AveragePool"])
def test_pixels_that_do_not_lie_side_by_side(tmp_path: Path, operator: str) -> None:
    node = helper.make_node(operator, ["x"], ["y"], kernel_shape=[2, 2], dilations=[2, 1])
    with pytest.raises(ConfigError, match="side by side, without dilations"):
        read(write(tmp_path / "m.onnx", [node], [1, 4, 4], {}, opset=19))


def test_sizes_that_vary_and_files_that_are_none(tmp_path: Path) -> None:
    file = write(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])], ["k"], {})
    with pytest.raises(ConfigError, match="needs every size but the batch's"):
        read(file)
    file = write(tmp_path / "m.onnx", [helper.make_node("Gemm", ["x", "w"], ["y"])], [4], {"w": normal(4, 4)})
    for changes in ({"raw_data": b"123"}, {"data_type": 99}):
        model = onnx.load(file)
        for name, value in changes.items():
            setattr(model.graph.initializer[0], name, value)
        onnx.save(model, tmp_path / "part.onnx")
        with pytest.raises(ConfigError, match="initialiser 'w' is not whole"):
            read(tmp_path / "part.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    for name, says in (("bad.onnx", "is no ONNX model"), ("nothing.onnx", "cannot be read: No such file")):
        with pytest.raises(DataError, match=says):
            read(tmp_path / name)
