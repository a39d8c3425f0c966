"""What a model.py answers: responses and errors, returned or sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from sonic.server.backends.python.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sonic.protocol.messages import Parameter

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


class ResponseSender:
    """Sends the response to a request, from any thread, where ``execute`` does not return it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closed = False
        self._response: Future[InferenceResponse] = Future()

    def send(self, response: InferenceResponse | None = None, flags: int = 0) -> None:
        """Send the response, or after it with the flag of the final one that there are no more.

        Raises
        ------
        TritonModelException
            If it is a second response, or there was none or the final one before.
        """
        if response is not None and not isinstance(response, InferenceResponse):
            raise TypeError(f"expected an InferenceResponse to send, given {type(response).__name__}")
        if flags not in (0, TRITONSERVER_RESPONSE_COMPLETE_FINAL):
            raise TritonModelException("Unable to send response. Unsupported flag provided.")
        with self._lock:
            if response is not None and self.sent:
                complaint = "Non-decoupled model cannot send more than one response."
            elif response is None and flags and not self.sent:
                complaint = "Non-decoupled model cannot send complete final before sending a response."
            else:
                complaint = "Response sender has been closed." if self._closed else ""
            if complaint:
                raise TritonModelException(f"Unable to send response. {complaint}")
            self._closed = flags == TRITONSERVER_RESPONSE_COMPLETE_FINAL
            if response is not None:
                self._response.set_result(response)

    @property
    def sent(self) -> bool:
        """Whether there is a response."""
        return self._response.done()

    def wait(self) -> InferenceResponse:
        """Wait for the response."""
        return self._response.result()
