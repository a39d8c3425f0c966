"""The messages of the protocol as numpy arrays and frozen records, free of any wire format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from sonic.specs import DType

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

Parameter = bool | int | float | str


# Structs where one is made for every request: a tenth of the time that a frozen data class takes.
class InferRequest(msgspec.Struct, frozen=True, eq=False):
    """One call of one model.

    Parameters
    ----------
    model : str
    inputs : mapping of str to ndarray
        By tensor name. For a batching model the first dimension of every input is the batch.
    version : str
        Empty: the server's choice, as its version policy says.
    id : str
        Returned in the response; the client's to choose.
    outputs : tuple of str
        Outputs wanted; empty means all.
    parameters : mapping of str to bool, int, float or str
        Request parameters of the protocol, e.g. ``priority``.
    timeout_s : float or None
        Time the request has left when it is submitted, in seconds. It travels to the server.
    dtypes : mapping of str to DType
        Datatypes of inputs where the array alone does not say: a ``BF16`` input is float32 in memory.
    classes : mapping of str to int
        Of `outputs`, those wanted as their so many largest values, each as the text ``value:index:label``.
    """

    model: str
    inputs: Mapping[str, np.ndarray]
    version: str = ""
    id: str = ""
    outputs: tuple[str, ...] = ()
    parameters: Mapping[str, Parameter] = {}
    timeout_s: float | None = None
    dtypes: Mapping[str, DType] = {}
    classes: Mapping[str, int] = {}

    def dtype(self, name: str) -> DType:
        """Datatype of an input on the wire."""
        return self.dtypes.get(name) or DType.of(self.inputs[name])


class InferResponse(msgspec.Struct, frozen=True, eq=False):
    """What a model gave back: the outputs by name, and the version that made them.

    Arrays that came over a wire may be read-only views of the message. ``dtypes`` is as in :class:`InferRequest`.
    """

    model: str
    version: str
    outputs: Mapping[str, np.ndarray]
    id: str = ""
    parameters: Mapping[str, Parameter] = {}
    dtypes: Mapping[str, DType] = {}

    def dtype(self, name: str) -> DType:
        """Datatype of an output on the wire."""
        return self.dtypes.get(name) or DType.of(self.outputs[name])


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What a server says of itself."""

    name: str
    version: str
    extensions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """One row of the repository index. ``state`` is READY, UNAVAILABLE, LOADING or UNLOADING."""

    name: str
    version: str
    state: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Duration:
    """How often something happened, and how long it took in all."""

    count: int = 0
    total_ns: int = 0


@dataclass(frozen=True, slots=True)
class BatchStatistics:
    """Executions of one size, in batch rows; each part has their number as its count."""

    batch_size: int
    compute_input: Duration = Duration()
    compute_infer: Duration = Duration()
    compute_output: Duration = Duration()


@dataclass(frozen=True, slots=True)
class ModelStatistics:
    """Counters of one model version since it was loaded, with Triton's meaning.

    ``inference_count`` counts batch rows, ``execution_count`` the calls of the backend, so that their ratio is the
    mean batch size that the server made. All clients of the model are in them. Requests that the cache answered are
    among the successes and among those that waited, not among those that were computed.
    """

    name: str
    version: str
    inference_count: int = 0
    execution_count: int = 0
    success: Duration = Duration()
    fail: Duration = Duration()
    queue: Duration = Duration()
    compute_input: Duration = Duration()
    compute_infer: Duration = Duration()
    compute_output: Duration = Duration()
    cache_hit: Duration = Duration()
    cache_miss: Duration = Duration()
    last_inference_ms: int = 0
    """Unix time of the last request in milliseconds; 0 before the first."""
    batches: tuple[BatchStatistics, ...] = ()
