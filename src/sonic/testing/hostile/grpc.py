"""Calls over gRPC, and messages of any type of protobuf."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import FieldDescriptor
from hypothesis import strategies as st

from sonic.protocol.proto import grpc_service_pb2 as pb
from sonic.testing.hostile.values import damaged, infer_documents, integers, mostly, names, texts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from google.protobuf.descriptor import Descriptor
    from google.protobuf.message import Message
    from hypothesis.strategies import DrawFn, SearchStrategy

    from sonic.testing.hostile.values import Inputs


@dataclass(frozen=True, slots=True)
class Call:
    """One call over gRPC: the method's name, and its request as bytes."""

    method: str
    request: bytes


def calls(models: Mapping[str, Inputs], regions: Sequence[str] = ()) -> SearchStrategy[Call]:
    """Draw a call of `inference.GRPCInferenceService`; the parameters are those of `exchanges`."""
    return infer_calls(models, regions) | _control_calls([*models, *regions])


@st.composite
def infer_calls(draw: DrawFn, models: Mapping[str, Inputs], regions: Sequence[str] = ()) -> Call:
    """Draw a call of ModelInfer, or what may as well go into a ModelStreamInfer."""
    name = draw(st.sampled_from(list(models)))
    message: Any = infer_message(*draw(infer_documents(models[name], regions)))
    message.model_name = draw(mostly(st.just(name), names))
    message.model_version = draw(mostly(st.sampled_from(("", "1")), st.sampled_from(("9", "..", "9" * 5000))))
    whole = message.SerializeToString()
    return Call("ModelInfer", draw(mostly(st.just(whole), damaged(whole))))


@st.composite
def _control_calls(draw: DrawFn, words: Sequence[str]) -> Call:
    method, kind = draw(st.sampled_from(_METHODS))
    message = draw(messages(kind, [*words, "log_info", "log_verbose_level", "trace_level", "config"]))
    whole = message.SerializeToString()
    return Call(method, draw(mostly(st.just(whole), damaged(whole))))


_METHODS: list[tuple[str, type[Message]]] = [
    (method.name, getattr(pb, method.input_type.name))
    for method in pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods
    if method.name != "ModelStreamInfer"
]


@st.composite
def messages(draw: DrawFn, kind: type[Message], words: Sequence[str] = ()) -> Message:
    """Draw a message of any type of protobuf, with values at the edges of what its fields can hold.

    Parameters
    ----------
    kind : type
    words : sequence of str
        Texts that mean something to who reads it.
    """
    message = kind()
    _fill(draw, message, mostly(st.sampled_from(words), texts) if words else texts, depth=0)
    return message


def _fill(draw: DrawFn, message: Any, words: SearchStrategy[str], depth: int) -> None:
    descriptor: Descriptor = message.DESCRIPTOR
    if not descriptor.fields or depth > 4:
        return
    for chosen in draw(st.lists(st.sampled_from(list(descriptor.fields)), max_size=4)):
        target = getattr(message, chosen.name)
        entry = chosen.message_type
        if entry is not None and entry.GetOptions().map_entry:
            key, value = entry.fields_by_name["key"], entry.fields_by_name["value"]
            if value.message_type is not None:
                _fill(draw, target[draw(_value(key, words))], words, depth + 1)
            else:
                target[draw(_value(key, words))] = draw(_value(value, words))
        elif entry is not None:
            _fill(draw, target.add() if chosen.is_repeated else target, words, depth + 1)
        elif chosen.is_repeated:
            target.extend(draw(st.lists(_value(chosen, words), max_size=3)))
        else:
            setattr(message, chosen.name, draw(_value(chosen, words)))


def _value(chosen: FieldDescriptor, words: SearchStrategy[str]) -> SearchStrategy[Any]:
    kind = chosen.cpp_type
    if kind == FieldDescriptor.CPPTYPE_STRING:
        return st.binary(max_size=12) if chosen.type == FieldDescriptor.TYPE_BYTES else words
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        return st.sampled_from([*range(4), 99, -1])
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return st.booleans()
    if kind in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return st.floats(width=32)
    low, high = {
        FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31),
        FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63),
        FieldDescriptor.CPPTYPE_UINT32: (0, 2**32),
        FieldDescriptor.CPPTYPE_UINT64: (0, 2**64),
    }[kind]
    return integers.filter(lambda value: low <= value < high)


def infer_message(document: dict[str, Any], tail: bytes) -> pb.ModelInferRequest:
    """Say in protobuf as much of a drawn infer request as protobuf can say; the tail is the raw contents."""
    message = pb.ModelInferRequest()
    for tensor in document["inputs"] if isinstance(document["inputs"], list) else []:
        if not isinstance(tensor, dict) or "shape" not in tensor:
            continue
        shape = [size for size in tensor.get("shape", ()) if -(2**63) <= size < 2**63]
        target = message.inputs.add(name=tensor["name"], datatype=tensor["datatype"], shape=shape)
        _put(target.parameters, tensor.get("parameters", {}))
        size = tensor.get("parameters", {}).get("binary_data_size")
        if isinstance(size, int) and size < 2**31:
            message.raw_input_contents.append(tail[: max(0, size)])
            tail = tail[max(0, size) :]
        for value in tensor.get("data", ()):
            if isinstance(value, str):
                target.contents.bytes_contents.append(value.encode(errors="replace"))
            elif isinstance(value, float):
                target.contents.fp32_contents.append(value)
            elif isinstance(value, int) and -(2**31) <= value < 2**31:
                target.contents.int_contents.append(int(value))
    wanted = document.get("outputs", ())
    for output in wanted if isinstance(wanted, list) else ():
        if isinstance(output, dict) and isinstance(output.get("name"), str):
            name = output["name"].encode(errors="replace").decode()
            parameters = output.get("parameters")
            _put(message.outputs.add(name=name).parameters, parameters if isinstance(parameters, dict) else {})
    parameters = document.get("parameters")
    _put(message.parameters, parameters if isinstance(parameters, dict) else {})
    return message


def _put(target: Any, parameters: dict[str, Any]) -> None:
    for name, value in parameters.items():
        if name == "binary_data_size":
            continue
        where = target[name.encode(errors="replace").decode()]
        if isinstance(value, bool):
            where.bool_param = value
        elif isinstance(value, int) and -(2**63) <= value < 2**63:
            where.int64_param = value
        elif isinstance(value, int) and 0 <= value < 2**64:
            where.uint64_param = value
        elif isinstance(value, float):
            where.double_param = value
        elif isinstance(value, str):
            where.string_param = value.encode(errors="replace").decode()
