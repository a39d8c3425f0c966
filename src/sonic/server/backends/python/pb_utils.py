"""What a model.py imports as ``triton_python_backend_utils``: the part of it that serves requests.

Names and meaning are those of Triton's Python backend. What it has beyond that (calls of other models from within a
model, decoupled responses, own metrics) raises :class:`~sonic.errors.Unsupported` when it is used.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from sonic.errors import Unsupported
from sonic.protocol.modelconfig import data_type_of, dtype_of
from sonic.protocol.parameters import MEANT, SEQUENCE_END, SEQUENCE_ID, SEQUENCE_START
from sonic.protocol.proto.model_config_pb2 import DataType
from sonic.server.backends.python.completing import ModelConfig as ModelConfig
from sonic.specs import DType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sonic.protocol.messages import Parameter
    from sonic.server.execution.instances import Call


TRITONSERVER_REQUEST_FLAG_SEQUENCE_START, TRITONSERVER_REQUEST_FLAG_SEQUENCE_END = 1, 2
TRITONSERVER_REQUEST_RELEASE_ALL, TRITONSERVER_REQUEST_RELEASE_RESCHEDULE = 1, 2
TRITONSERVER_RESPONSE_COMPLETE_FINAL = 1


class TritonModelException(Exception):  # noqa: N818 - Triton's name
    """What a model may raise; any other exception does as well."""


class TritonError:
    """The error that one request ends in."""

    UNKNOWN, INTERNAL, NOT_FOUND, INVALID_ARG, UNAVAILABLE, UNSUPPORTED, ALREADY_EXISTS, CANCELLED = range(8)

    def __init__(self, message: str, code: int = INTERNAL) -> None:
        if code not in range(8):
            raise TritonModelException(f"unknown code {code!r} of a TritonError")
        self._message = str(message)
        self._code = code

    def message(self) -> str:
        """Return the text."""
        return self._message

    def code(self) -> int:
        """Return one of the class's constants."""
        return self._code


class Tensor:
    """A named array in the memory of the CPU.

    Parameters
    ----------
    name : str
    numpy_array : ndarray
        Texts are arrays of bytes or str, of any of numpy's kinds.
    """

    def __init__(self, name: str, numpy_array: np.ndarray) -> None:
        if not isinstance(name, str) or not name:
            raise TypeError(f"expected the name of a tensor, given {name!r}")
        if not isinstance(numpy_array, np.ndarray):
            raise TypeError(f"tensor {name!r}: expected a numpy array, given {type(numpy_array).__name__}")
        self._name = name
        self._array = numpy_array
        self._private = True

    @classmethod
    def of_request(cls, name: str, array: np.ndarray) -> Tensor:
        """Make the tensor of an input, whose memory is not the model's."""
        tensor = cls(name, array)
        tensor._private = False
        return tensor

    def name(self) -> str:
        """Return the tensor's name."""
        return self._name

    def as_numpy(self) -> np.ndarray:
        """Return the array; an input is copied the first time, so that the model may write into it."""
        if not self._private:
            self._array, self._private = self._array.copy(), True
        return self._array

    def shape(self) -> list[int]:
        """Return the sizes."""
        return list(self._array.shape)

    def triton_dtype(self) -> int:
        """Return the datatype as a number of the enumeration ``DataType``."""
        return data_type_of(DType.of(self._array))

    def is_cpu(self) -> bool:
        """Whether it is in the memory of the CPU: always."""
        return True

    def to_dlpack(self) -> Any:
        """Return a DLPack capsule, which e.g. ``torch.from_dlpack`` takes without a copy."""
        return self.__dlpack__()

    def __dlpack__(self, **options: Any) -> Any:
        return np.ascontiguousarray(self.as_numpy()).__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        kind, number = self._array.__dlpack_device__()
        return int(kind), int(number)

    @staticmethod
    def from_dlpack(name: str, tensor: Any) -> Tensor:
        """Make a tensor of anything that speaks DLPack; what is on a GPU is copied to the CPU."""
        if type(tensor).__name__ == "PyCapsule":
            torch = sys.modules.get("torch")  # which takes what numpy does not: a GPU's memory, and bfloat16
            tensor = _Capsule(tensor) if torch is None else torch.from_dlpack(tensor)
        elif not hasattr(tensor, "__dlpack__"):
            raise TypeError(f"tensor {name!r}: expected what speaks DLPack, given {type(tensor).__name__}")
        if hasattr(tensor, "cpu"):
            tensor = tensor.cpu()
            tensor = tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor
        return Tensor(name, np.from_dlpack(tensor))


class _Capsule:
    """A DLPack capsule, which numpy takes only from an object that makes it."""

    def __init__(self, capsule: Any) -> None:
        self._capsule = capsule

    def __dlpack__(self, **_: Any) -> Any:
        return self._capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0  # the CPU; numpy refuses a capsule that says otherwise


class InferenceRequest:
    """A request that the model is to answer. A model cannot make one: that is for calls of other models."""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise Unsupported("a model.py cannot call other models here (BLS): put them together in an ensemble")

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
        given = self._call.parameters
        return (1 if given.get(SEQUENCE_START) else 0) | (2 if given.get(SEQUENCE_END) else 0)

    def timeout(self) -> int:
        """Return the time that the request had when it arrived, in microseconds; 0 if it has no limit."""
        return 0 if self._call.timeout_s is None else max(1, round(self._call.timeout_s * 1e6))

    def is_cancelled(self) -> bool:
        """Whether the client has given the request up."""
        return self._call.given_up()

    def exec(self, *_: Any, **__: Any) -> Any:
        """Refuse: see the class."""
        raise Unsupported("a model.py cannot call other models here (BLS): put them together in an ensemble")

    def async_exec(self, *_: Any, **__: Any) -> Any:
        """Refuse: see the class."""
        self.exec()

    def set_release_flags(self, flags: int) -> None:
        """Refuse to be given the request once more; it is released when it is answered."""
        if flags != TRITONSERVER_REQUEST_RELEASE_ALL:
            raise Unsupported("a model.py answers every request that it is given: rescheduling is not offered")

    def get_response_sender(self) -> Any:
        """Refuse: a request has one response here."""
        raise Unsupported("a model.py answers with one response a request here: decoupled responses are not offered")


class InferenceResponse:
    """The answer to one request: tensors, or an error.

    Parameters
    ----------
    output_tensors : sequence of Tensor
    error : TritonError or str, optional
    parameters : mapping of str to bool, int, float or str, optional
        For the client.
    """

    def __init__(
        self,
        output_tensors: Sequence[Tensor] = (),
        error: TritonError | str | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        if not isinstance(parameters, Mapping | None):
            raise TritonModelException(f"parameters of a response: expected a dict, got {type(parameters)}")
        for name, value in (parameters or {}).items():
            if not isinstance(name, str):
                raise TritonModelException(f"Expect parameters keys to have type str, found type {type(name)}")
            if not isinstance(value, bool | int | float | str):
                kinds = "bool/int/float/str"
                raise TritonModelException(f"Expect parameters values to have type {kinds}, found type {type(value)}")
            if isinstance(value, int) and not -(2**63) <= value < 2**63:
                raise TritonModelException(f"parameter {name!r} of a response is a number of more than 64 bits")
        if not all(isinstance(tensor, Tensor) for tensor in output_tensors):
            raise TritonModelException("the output_tensors of an InferenceResponse are a list of pb_utils.Tensor")
        self._tensors = list(output_tensors)
        self._error = TritonError(error) if isinstance(error, str) else error
        self._parameters: dict[str, Parameter] = dict(parameters or {})

    def output_tensors(self) -> list[Tensor]:
        """Return the outputs."""
        return self._tensors

    def parameters(self) -> str:
        """Return the parameters as JSON."""
        return json.dumps(self._parameters)

    def given_parameters(self) -> Mapping[str, Parameter]:
        """Return the parameters."""
        return self._parameters

    def has_error(self) -> bool:
        """Whether it is an error."""
        return self._error is not None

    def error(self) -> TritonError | None:
        """Return the error, None if there is none."""
        return self._error


class Logger:
    """The server's log."""

    INFO, WARNING, ERROR, VERBOSE = logging.INFO, logging.WARNING, logging.ERROR, logging.DEBUG
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


class MetricFamily:
    """Metrics of a model's own, which are not offered."""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise Unsupported("a model.py cannot make metrics of its own here")


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


def triton_string_to_numpy(triton_type_string: str) -> type[np.generic]:
    """Return numpy's type of a datatype, e.g. ``numpy.float32`` of ``"TYPE_FP32"``; texts are ``numpy.object_``."""
    return dtype_of(DataType.Value(triton_type_string)).numpy.type
