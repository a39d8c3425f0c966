"""Which operators of an ONNX model let the bits of one row depend on the rows around it, and what prevents it.

Measured with onnxruntime 1.31 (CPU, x86-64 with AVX-512): every operator alone, and whole networks (dense,
convolutional, EdgeConv, DeepMET, attention, recurrent, trees), as batches of 1 to 300 rows cut and merged at random
offsets, compared bit for bit. With one intra-op thread, constant weights and optimisation on, the rows of matrix
products, convolutions, poolings, softmax, layer norm, gathers, top-k and most activations do not depend on the
batch. What does depend on it:

========================================  ==============================================  ========================
operators                                 why                                             remedy
========================================  ==============================================  ========================
Log, Elu, Selu, Celu, Softplus, Mish,     blocks of 4 elements are computed by a vector   alignment to 4 elements
Sin, Cos, Atan, Asin, Acos; of float64    routine, the last 1 to 3 by another one
also Exp, Sigmoid, Tanh
ReduceSum and ReduceMean over the last    a sum begins at a 16-byte boundary, which the   the same
axis, Instance-, GroupNormalization       row's address decides
ReduceSum and ReduceMean over others,     a batch of one row takes another kernel         at least 2 rows
Einsum, RNN, a computed matrix as factor
the two above, behind a NonZero           what it packs does not follow the rows          requests are not merged
DynamicQuantizeLinear, random numbers,    the batch as a whole enters every row           requests are not merged
loops
========================================  ==============================================  ========================

With more than one intra-op thread the work is divided by the size of the batch, and the same effects appear at every
seam (ParticleNet: 1 row alone against 1 in 64), so models with more threads are not merged either. Alignment means that
every request starts at a row whose number makes its first element the 4th, 8th ... of the tensor (every row if a row of
it is a multiple of 4 elements, every second row if of 2), the last row before it repeated up to there. It costs up to 3
rows a request, "at least 2 rows" costs one where there is one, and neither costs anything in networks without these
operators; one that was not measured gets both. Without them 1 in 4 requests that pass through a Log came out
differently when merged, 1 in 2 through a sum over 65 elements; with them none.
"""

from __future__ import annotations

import struct
from functools import cache
from math import gcd, prod
from typing import TYPE_CHECKING, Any, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from sonic.errors import DataError
from sonic.server.execution.instances import Rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

ALIGNMENT = 4
"""Elements of float32 in 16 bytes, the vector length that the wheels of onnxruntime are built for."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TAIL = _names("Log Elu Selu Celu Softplus Mish Sin Cos Atan Asin Acos")
_TAIL_OF_FLOAT64 = _names("Exp Sigmoid Tanh")
_SUM = _names("ReduceSum ReduceMean")
_NORM = _names("InstanceNormalization GroupNormalization")
_OF_FIRST = _TAIL | _TAIL_OF_FLOAT64 | _SUM | _NORM  # the first input decides
_SINGLE = _names("Einsum RNN LSTM GRU")
_PRODUCT = _names("MatMul Gemm")
_WHOLE = _names(
    """DynamicQuantizeLinear DynamicQuantizeLSTM DynamicQuantizeMatMul RandomNormal RandomNormalLike RandomUniform
    RandomUniformLike Multinomial Bernoulli Loop If NonMaxSuppression Unique"""
)
_PACKING = _names("NonZero Compress")
_INEXACT = frozenset({"tensor(float)", "tensor(double)", "tensor(float16)"})
_MEASURED = _names(
    """Abs Acosh Asinh Atanh Ceil Cosh Erf Floor Gelu HardSigmoid HardSwish LeakyRelu Neg Reciprocal Relu Round Sign
    Sinh Softsign Sqrt Tan ThresholdedRelu IsNaN IsInf Pow Add Sub Mul Div Max Min PRelu Mod Clip Hardmax
    QuantizeLinear DequantizeLinear Cast CastLike CumSum Where Greater GreaterOrEqual Less LessOrEqual Equal And Or
    Not Xor ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceSumSquare ReduceLogSum ReduceLogSumExp
    GlobalAveragePool GlobalMaxPool AveragePool MaxPool BatchNormalization LayerNormalization LpNormalization ArgMax
    ArgMin Softmax LogSoftmax Conv ConvTranspose TopK Resize TreeEnsemble TreeEnsembleRegressor
    TreeEnsembleClassifier Constant ConstantOfShape Identity Dropout Reshape Flatten Squeeze Unsqueeze Transpose
    Concat Split Slice Gather GatherElements GatherND ScatterElements ScatterND Expand Tile Pad Shape Size Range
    OneHot DepthToSpace SpaceToDepth Trilu"""
)

_Known = tuple[Any, str]
"""Shape of a tensor, with anything but a number where a dimension is not known, and its element type."""


def rows_of(model: bytes, shapes: Callable[[bytes, Sequence[str]], Mapping[str, _Known]]) -> Rows:
    """Say how requests to a model may be merged, for one intra-op thread.

    Parameters
    ----------
    model : bytes
        Content of the ONNX file.
    shapes : callable
        Given the model with the named tensors added to its outputs, and their names, returns the shape (numbers, or
        anything else where they are not known) and the element type of those that it can tell, e.g.
        ``{"t": (["N", 3], "tensor(float)")}``.

    Raises
    ------
    DataError
        If the bytes are no ONNX model.
    """
    parsed = _parse(model)
    constant = _constants(parsed.graph)
    least, multiple, packed, everywhere = 1, 1, False, False
    asked: list[_Question] = []
    for node, outermost in _nodes(parsed):
        kind, first = node.op_type, next(iter(node.input), "")
        if kind in _WHOLE:
            return Rows(merge=False)
        if kind in _PACKING:
            packed = True
        elif kind in _SINGLE:
            least, everywhere = 2, True
        elif kind in _PRODUCT and outermost:
            if node.input[1] not in constant:
                asked.append(_Question(node.input[1], "factor"))
        elif kind in _OF_FIRST and outermost:
            if first not in constant:
                asked.append(_Question(first, kind, _axes(node, constant) if kind in _SUM else None))
        elif kind not in _MEASURED:
            least, multiple, everywhere = 2, ALIGNMENT, True
    if packed and everywhere:
        return Rows(merge=False)
    if asked:
        leading = parsed.graph.input[0].name if parsed.graph.input else ""
        names = sorted({question.tensor for question in asked})
        known = shapes(with_outputs(model, names), [*names, leading])
        batch = known[leading][0][0] if leading in known and known[leading][0] else None
        for question in asked:
            needed = question.answer(known.get(question.tensor))
            if packed and needed != Rows() and not question.leads(known.get(question.tensor), batch):
                return Rows(merge=False)
            least, multiple = max(least, needed.least), max(multiple, needed.multiple)
    return Rows(least=least, multiple=multiple)


class _Question(NamedTuple):
    """What the shape of a tensor decides about an operator that reads it."""

    tensor: str
    kind: str
    axes: Sequence[int] | None = None  # that are summed over; None: not known

    def leads(self, known: _Known | None, batch: object) -> bool:
        """Whether the tensor's first dimension is the batch, so that repeated rows shift it."""
        return known is not None and isinstance(batch, str) and bool(known[0]) and known[0][0] == batch

    def answer(self, known: _Known | None) -> Rows:
        single = self.kind == "factor" or self.kind in _SUM
        aligned = self.kind != "factor"
        if known is None:
            return Rows(least=2 if single else 1, multiple=ALIGNMENT if aligned else 1)
        shape, element = known
        if self.kind == "factor":  # one factor a row makes each row its own product
            return Rows(least=1 if len(shape) > 2 else 2)
        if element not in _INEXACT or (self.kind in _TAIL_OF_FLOAT64 and element != "tensor(double)"):
            return Rows()
        inner = list(shape)[1:]
        size = prod(inner) if all(isinstance(n, int) for n in inner) else 1
        multiple = ALIGNMENT // gcd(size, ALIGNMENT)
        if self.kind not in _SUM:
            return Rows(multiple=multiple)
        if self.axes is None or not shape:
            return Rows(least=2, multiple=multiple)
        summed = {axis % len(shape) for axis in self.axes}
        sizes = [shape[axis] for axis in summed]
        if all(isinstance(n, int) for n in sizes) and prod(sizes) <= 2:
            return Rows()
        if len(shape) - 1 not in summed:
            return Rows(least=2)
        trailing = summed == set(range(len(shape) - len(summed), len(shape)))
        return Rows(least=1 if trailing else 2, multiple=multiple)


def with_outputs(model: bytes, names: Sequence[str]) -> bytes:
    """Return the model with further outputs.

    Two serialised messages of protobuf one after the other are read as one, with their repeated fields joined.
    """
    graph = _parse(model).graph
    existing = {tensor.name for tensor in (*graph.output, *graph.input)}
    extra = _messages()["Model"]()
    for name in names:
        if name not in existing:
            extra.graph.output.add(name=name)
    return model + bytes(extra.SerializeToString())


def _constants(graph: Any) -> dict[str, Any]:
    """Tensors that no input changes, by name."""
    inputs = {tensor.name for tensor in graph.input}
    found = {tensor.name: tensor for tensor in graph.initializer if tensor.name not in inputs}
    for node in graph.node:  # in order: what is computed from constants is one, and ONNX Runtime computes it at once
        if node.op_type == "Constant" and node.output:
            found[node.output[0]] = next((a.t for a in node.attribute if a.name == "value"), None)
        elif node.input and node.op_type not in _WHOLE and all(name in found for name in node.input if name):
            found.update(dict.fromkeys(node.output))
    return found


def _axes(node: Any, constant: Mapping[str, Any]) -> Sequence[int] | None:
    """Axes that a sum runs over; None if the file does not tell."""
    for attribute in node.attribute:
        if attribute.name == "axes":
            return tuple(attribute.ints) or None
    tensor = constant.get(node.input[1]) if len(node.input) > 1 else None
    if tensor is None:
        return None
    raw = struct.unpack(f"<{len(tensor.raw_data) // 8}q", tensor.raw_data[: len(tensor.raw_data) // 8 * 8])
    return tuple(tensor.int64_data) or raw or None


def _nodes(model: Any) -> Iterator[tuple[Any, bool]]:
    """Every node, and whether it stands in the main graph, where the tensors' shapes can be asked for."""
    graphs = [(model.graph, True)] + [(function, False) for function in model.functions]
    while graphs:
        graph, outermost = graphs.pop()
        for node in graph.node:
            yield node, outermost
            for attribute in node.attribute:
                graphs += [(inner, False) for inner in (attribute.g, *attribute.graphs) if inner.node]


def _parse(model: bytes) -> Any:
    try:
        return _messages()["Model"].FromString(model)
    except DecodeError:
        raise DataError(f"not an ONNX model ({len(model)} bytes): it is truncated or of another format") from None


@cache
def _messages() -> dict[str, Any]:
    """As much of ONNX's format as is read here, by the field numbers of its onnx.proto; other fields are skipped."""
    file = descriptor_pb2.FileDescriptorProto(name="sonic/onnx_rows.proto", package="sonic.onnx_rows", syntax="proto3")
    layout: dict[str, list[tuple[str, int, str, bool]]] = {
        "Model": [("graph", 7, "Graph", False), ("functions", 25, "Function", True)],
        "Graph": [
            ("node", 1, "Node", True),
            ("initializer", 5, "Tensor", True),
            ("input", 11, "Value", True),
            ("output", 12, "Value", True),
        ],
        "Function": [("node", 7, "Node", True)],
        "Node": [
            ("input", 1, "", True),
            ("output", 2, "", True),
            ("op_type", 4, "", False),
            ("attribute", 5, "Attribute", True),
        ],
        "Attribute": [
            ("name", 1, "", False),
            ("t", 5, "Tensor", False),
            ("g", 6, "Graph", False),
            ("ints", 8, "int64", True),
            ("graphs", 11, "Graph", True),
        ],
        "Tensor": [("int64_data", 7, "int64", True), ("name", 8, "", False), ("raw_data", 9, "bytes", False)],
        "Value": [("name", 1, "", False)],
    }
    kinds = descriptor_pb2.FieldDescriptorProto
    plain = {"": kinds.TYPE_STRING, "int64": kinds.TYPE_INT64, "bytes": kinds.TYPE_BYTES}
    for message, fields in layout.items():
        described = file.message_type.add(name=message)
        for name, number, of, repeated in fields:
            described.field.add(
                name=name,
                number=number,
                type=plain.get(of, kinds.TYPE_MESSAGE),
                type_name=None if of in plain else f".sonic.onnx_rows.{of}",
                label=kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"sonic.onnx_rows.{name}")) for name in layout
    }
