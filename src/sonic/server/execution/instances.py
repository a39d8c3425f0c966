"""What executes a model: what it is given, and what it gives back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from sonic.errors import InferenceError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np

    from sonic.protocol.messages import Parameter


@dataclass(frozen=True, slots=True)
class Rows:
    """What keeps the bits of a request's result the same, whatever else is in its batch.

    Parameters
    ----------
    merge : bool
        Whether requests may share an execution at all.
    least : int
        An execution has at least so many rows; the last one is repeated.
    multiple : int
        Every request starts at a multiple of so many rows; its last row is repeated up to there.
    """

    merge: bool = True
    least: int = 1
    multiple: int = 1


class Instance(ABC):
    """Something that executes a model, one call at a time.

    Attributes
    ----------
    gpu : int or None
        The device that it executes on; None: the CPU.
    parameters : mapping of str to bool, int, float or str
        What the responses to the last call say besides their outputs.
    """

    gpu: int | None = None
    parameters: Mapping[str, Parameter] = MappingProxyType({})

    @abstractmethod
    def run(self, inputs: Mapping[str, np.ndarray], wanted: Sequence[str]) -> Mapping[str, np.ndarray]:
        """Execute the model.

        Parameters
        ----------
        inputs : mapping of str to ndarray
            C-contiguous, of native byte order; shapes and datatypes are the model's. Read-only.
        wanted : sequence of str
            Outputs that must be in the result; more may be.

        Returns
        -------
        mapping of str to ndarray
            Arrays that nobody else writes to.
        """


@dataclass(frozen=True, slots=True)
class Call:
    """One request, for a model that is given requests instead of their merged rows.

    Parameters
    ----------
    inputs : mapping of str to ndarray
        As for :meth:`Instance.run`.
    wanted : sequence of str
        Outputs that must be in the result; more may be.
    id : str
        The client's.
    parameters : mapping of str to bool, int, float or str
        The client's.
    timeout_s : float or None
        Time that the request had left when it arrived.
    given_up : callable
        Whether the client has given the request up meanwhile.
    """

    inputs: Mapping[str, np.ndarray]
    wanted: Sequence[str]
    id: str = ""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    timeout_s: float | None = None
    given_up: Callable[[], bool] = bool


class Reply(NamedTuple):
    """What one request is answered.

    Attributes
    ----------
    outputs : mapping of str to ndarray
        Arrays that nobody else writes to.
    parameters : mapping of str to bool, int, float or str
        For the client.
    """

    outputs: Mapping[str, np.ndarray]
    parameters: Mapping[str, Parameter] = MappingProxyType({})


class CallInstance(Instance):
    """An instance that executes several requests as a list, without their rows being merged.

    Attributes
    ----------
    name : str
        For messages.
    """

    name: str = ""

    @property
    def failed(self) -> str:
        """What the text of an error begins with if the model's code is at fault; clients of Triton know the words."""
        return f"Failed to process the request(s) for model instance {self.name!r}, message"

    @abstractmethod
    def run_calls(self, calls: Sequence[Call]) -> Sequence[Reply | InferenceError]:
        """Execute requests.

        Returns
        -------
        sequence
            For each request in order what it is answered, or the error it ends in.
        """

    def run(self, inputs: Mapping[str, np.ndarray], wanted: Sequence[str]) -> Mapping[str, np.ndarray]:
        """Execute one request."""
        (outcome,) = self.run_calls([Call(inputs, wanted)])
        if isinstance(outcome, InferenceError):
            raise outcome
        return outcome.outputs
