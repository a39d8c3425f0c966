"""What a model.py imports as ``triton_python_backend_utils``: the part of it that serves requests.

Names and meaning are those of Triton's Python backend. What it has beyond that (calls of other models from within a
model, own metrics) raises :class:`~sonic.errors.Unsupported` when it is used.
"""

from __future__ import annotations

import json
import logging
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from sonic.errors import Unsupported
from sonic.protocol.parameters import MEANT, SEQUENCE_END, SEQUENCE_ID, SEQUENCE_START
from sonic.server.backends.python.completing import ModelConfig as ModelConfig
from sonic.server.backends.python.datatypes import TRITON_STRING_TO_NUMPY as TRITON_STRING_TO_NUMPY
from sonic.server.backends.python.datatypes import deserialize_bytes_tensor as deserialize_bytes_tensor
from sonic.server.backends.python.datatypes import numpy_to_triton_type as numpy_to_triton_type
from sonic.server.backends.python.datatypes import serialize_byte_tensor as serialize_byte_tensor
from sonic.server.backends.python.datatypes import triton_string_to_numpy as triton_string_to_numpy
from sonic.server.backends.python.datatypes import triton_to_numpy_type as triton_to_numpy_type
from sonic.server.backends.python.responses import (
    TRITONSERVER_RESPONSE_COMPLETE_FINAL as TRITONSERVER_RESPONSE_COMPLETE_FINAL,
)
from sonic.server.backends.python.responses import InferenceResponse as InferenceResponse  # noqa: TC001 - a model's
from sonic.server.backends.python.responses import ResponseSender as ResponseSender
from sonic.server.backends.python.responses import TritonError as TritonError
from sonic.server.backends.python.responses import TritonModelException as TritonModelException
from sonic.server.backends.python.tensor import Tensor as Tensor
from sonic.server.backends.python.unoffered import TRITONSERVER_MEMORY_CPU as TRITONSERVER_MEMORY_CPU
from sonic.server.backends.python.unoffered import TRITONSERVER_MEMORY_GPU as TRITONSERVER_MEMORY_GPU
from sonic.server.backends.python.unoffered import MemoryType as MemoryType
from sonic.server.backends.python.unoffered import MetricFamily as MetricFamily
from sonic.server.backends.python.unoffered import PreferredMemory as PreferredMemory
from sonic.server.backends.python.unoffered import is_model_ready as is_model_ready
from sonic.server.backends.python.unoffered import load_model as load_model
from sonic.server.backends.python.unoffered import refuse_calls
from sonic.server.backends.python.unoffered import unload_model as unload_model

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sonic.protocol.messages import Parameter
    from sonic.server.execution.instances import Call


TRITONSERVER_REQUEST_FLAG_SEQUENCE_START, TRITONSERVER_REQUEST_FLAG_SEQUENCE_END = 1, 2
TRITONSERVER_REQUEST_RELEASE_ALL, TRITONSERVER_REQUEST_RELEASE_RESCHEDULE = 1, 2


class InferenceRequest:
    """A request that the model is to answer. A model cannot make one: that is for calls of other models."""

    sender: ResponseSender | None = None
    """What its response is sent with, if the model asked for it."""

    def __init__(self, *_: Any, **__: Any) -> None:
        refuse_calls()

    @classmethod
    def of_call(cls, call: Call, model: str, version: str) -> InferenceRequest:
        """Make the request that a call brings."""
        request = cls.__new__(cls)
        request._call = call
        request._model, request._version = model, version
        request._inputs = [Tensor.of_request(name, array) for name, array in call.inputs.items()]
        return request

    _call: Call
    _model: str
    _version: str
    _inputs: list[Tensor]
    _flags: int | None = None

    def inputs(self) -> list[Tensor]:
        """Return the inputs that the request brought, in the model's order."""
        return self._inputs

    def request_id(self) -> str:
        """Return the client's name for the request."""
        return self._call.id

    def correlation_id(self) -> Parameter:
        """Return what the client calls the sequence that the request belongs to; 0: it belongs to none."""
        return self._call.parameters.get(SEQUENCE_ID, 0)

    def parameters(self) -> str:
        """Return as JSON those of the request's parameters that mean nothing to the server."""
        return json.dumps({name: value for name, value in self._call.parameters.items() if name not in MEANT})

    def requested_output_names(self) -> list[str]:
        """Return the outputs that the client wants."""
        return list(self._call.wanted)

    def model_name(self) -> str:
        """Return the model's name."""
        return self._model

    def model_version(self) -> int:
        """Return the model's version."""
        return int(self._version)

    def flags(self) -> int:
        """Return whether the request is the first (1) or the last (2) of its sequence, or both (3)."""
        if self._flags is not None:
            return self._flags
        given = self._call.parameters
        return (1 if given.get(SEQUENCE_START) else 0) | (2 if given.get(SEQUENCE_END) else 0)

    def set_flags(self, flags: int) -> None:
        """Let the request have other flags, for the model itself."""
        self._flags = flags

    def timeout(self) -> int:
        """Return the time that the request had when it arrived, in microseconds; 0 if it has no limit."""
        return 0 if self._call.timeout_s is None else max(1, round(self._call.timeout_s * 1e6))

    def is_cancelled(self) -> bool:
        """Whether the client has given the request up."""
        return self._call.given_up()

    def exec(self, *_: Any, **__: Any) -> Any:
        """Refuse: see the class."""
        refuse_calls()

    def async_exec(self, *_: Any, **__: Any) -> Any:
        """Refuse: see the class."""
        refuse_calls()

    def trace(self) -> Any:
        """Refuse: it is for calls of other models."""
        refuse_calls()

    def set_release_flags(self, flags: int) -> None:
        """Refuse to be given the request once more; it is released when it is answered."""
        if flags != TRITONSERVER_REQUEST_RELEASE_ALL:
            raise Unsupported("a model.py answers every request that it is given: rescheduling is not offered")

    def get_response_sender(self) -> ResponseSender:
        """Return what sends the one response that the request has, instead of returning it."""
        if self.sender is None:
            self.sender = ResponseSender()
        return self.sender


class Logger:
    """The server's log."""

    class LogLevel(IntEnum):
        """How much a line matters."""

        INFO, WARNING, ERROR, VERBOSE = logging.INFO, logging.WARNING, logging.ERROR, logging.DEBUG

    INFO, WARNING, ERROR, VERBOSE = LogLevel
    _log = logging.getLogger("sonic.server.models.model")

    @classmethod
    def log(cls, message: str, level: int = logging.INFO) -> None:
        """Write a line of a level."""
        cls._log.log(level, "%s", message)

    @classmethod
    def log_info(cls, message: str) -> None:
        """Write a line."""
        cls.log(message)

    @classmethod
    def log_warn(cls, message: str) -> None:
        """Write a warning."""
        cls.log(message, cls.WARNING)

    @classmethod
    def log_error(cls, message: str) -> None:
        """Write of an error."""
        cls.log(message, cls.ERROR)

    @classmethod
    def log_verbose(cls, message: str) -> None:
        """Write what only a verbose log shows."""
        cls.log(message, cls.VERBOSE)


def get_input_tensor_by_name(inference_request: InferenceRequest, name: str) -> Tensor | None:
    """Return an input of a request; None if it brought none of that name."""
    return next((tensor for tensor in inference_request.inputs() if tensor.name() == name), None)


def get_output_tensor_by_name(inference_response: InferenceResponse, name: str) -> Tensor | None:
    """Return an output of a response; None if it has none of that name."""
    return next((tensor for tensor in inference_response.output_tensors() if tensor.name() == name), None)


def get_input_config_by_name(model_config: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """Return the part of a configuration that describes an input; None if there is none."""
    return next((tensor for tensor in model_config.get("input", ()) if tensor["name"] == name), None)


def get_output_config_by_name(model_config: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """Return the part of a configuration that describes an output; None if there is none."""
    return next((tensor for tensor in model_config.get("output", ()) if tensor["name"] == name), None)


def using_decoupled_model_transaction_policy(model_config: Mapping[str, Any]) -> bool:
    """Whether a request can have several responses, which the server refuses."""
    return bool(model_config.get("model_transaction_policy", {}).get("decoupled", False))
