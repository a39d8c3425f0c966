"""Inputs for the readers that are nearly right, where bytes at random would seldom get past the first check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from sonic.protocol import modelconfig
from sonic.protocol.proto.model_config_pb2 import ModelConfig
from sonic.testing import hostile

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy

_SETTINGS = ("log_info", "log_verbose_level", "log_file", "log_format", "trace_level", "trace_rate", "trace_count")
_documents = hostile.infer_documents({"x": "FP32", "y": "BYTES"}, ("r",))


@st.composite
def _http_requests(draw: DrawFn) -> bytes:
    document, tail = draw(_documents)
    head = draw(hostile.json_bodies(st.just(document)))[:0xFFFE]
    length = len(head) if tail or draw(st.booleans()) else 0xFFFF
    return draw(st.just(length) | st.integers(0, 0xFFFF)).to_bytes(2, "little") + head + tail


@st.composite
def _settings(draw: DrawFn) -> bytes:
    names = st.sampled_from((*_SETTINGS, "key", "offset", "byte_size"))
    document: dict[str, Any] = draw(st.dictionaries(names, hostile.json_values, max_size=4))
    return draw(hostile.json_bodies(st.just(document)))


def _message(drawn: tuple[dict[str, Any], bytes]) -> bytes:
    return hostile.infer_message(*drawn).SerializeToString()


DRAWN: dict[str, SearchStrategy[bytes]] = {
    "rawfields": _documents.map(_message).flatmap(hostile.damaged),
    "grpc_request": _documents.map(_message),
    "http_request": _http_requests(),
    "pbtxt": hostile.messages(ModelConfig, ("identity", "onnxruntime", "ensemble", "x", "..")).map(
        lambda config: modelconfig.write(config).encode()
    ),
    "config_json": hostile.configs().map(str.encode),
    "settings": _settings(),
}
"""By the name of the reader."""
