"""protobuf messages <-> JSON documents as HTTP has them: proto names, and 64-bit integers as numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor

from sonic.errors import ModelFailed

if TYPE_CHECKING:
    from google.protobuf.message import Message

M = TypeVar("M", bound="Message")


def to_document(message: Message) -> dict[str, Any]:
    """Return a message as a JSON document, in which fields that are zero or empty are present too."""
    document = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    _numbers(document, message)
    return document


def from_document(document: object, kind: type[M]) -> M:
    """Read a message from the JSON document that a server sent; fields that are not known are left out.

    Raises
    ------
    ModelFailed
        If it is no such message.
    """
    try:
        if not isinstance(document, dict):
            raise json_format.ParseError(f"given {type(document).__name__}")
        return json_format.ParseDict(document, kind(), ignore_unknown_fields=True)
    except json_format.ParseError as error:
        reason = " ".join(str(error).split())
        raise ModelFailed(f"the server's answer is no {kind.DESCRIPTOR.name}: {reason}") from None


def _numbers(document: dict[str, Any], message: Message) -> None:
    """Turn the strings that protobuf makes of 64-bit integers back into numbers, in place."""
    for field in message.DESCRIPTOR.fields:
        if field.name not in document:
            continue
        value, content = document[field.name], getattr(message, field.name)
        entry = field.message_type
        if entry is not None and entry.GetOptions().map_entry:
            if entry.fields_by_name["value"].message_type is not None:
                for key in content:
                    _numbers(value[str(key)], content[key])
        elif entry is not None:
            for part, inner in zip(value, content, strict=True) if isinstance(value, list) else ((value, content),):
                _numbers(part, inner)
        elif field.cpp_type in (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64):
            document[field.name] = [int(v) for v in value] if isinstance(value, list) else int(value)
