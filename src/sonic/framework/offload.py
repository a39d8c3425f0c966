"""Modules whose heavy part runs as a service: acquire the inputs, produce from the outputs."""

from __future__ import annotations

from abc import abstractmethod
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import numpy as np

from sonic.errors import ModelFailed
from sonic.framework.module import Module

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Future

    import awkward as ak
    from numpy.typing import ArrayLike

    from sonic.framework.module import Columns
    from sonic.protocol.messages import ModelStatistics
    from sonic.specs import ModelSpec


class Mode(StrEnum):
    """How a module waits for its model.

    ``ASYNC``: the request is sent and the thread goes on with other work; the answer brings the module back.
    ``SYNC``: the thread waits. ``PSEUDO_ASYNC``: one thread of the module's own waits, so that its requests are made
    one after another; for a client library that can only block.
    """

    SYNC = "sync"
    ASYNC = "async"
    PSEUDO_ASYNC = "pseudo_async"


class Callee(Protocol):
    """What an offload calls; :class:`sonic.Model` is one."""

    @property
    def spec(self) -> ModelSpec:
        """Inputs, outputs and largest batch."""

    def submit(self, **arrays: np.ndarray) -> Future[dict[str, np.ndarray]]:
        """Send a request and return at once."""

    def statistics(self) -> ModelStatistics:
        """Counters of the model on its server."""


class Offloaded(Module):
    """Base of modules whose model runs as a service.

    Attributes
    ----------
    model, version : str
        The model to call; an empty version leaves it to the server.
    outputs : tuple of str
        Outputs of the model that are wanted; empty: all.
    request_rows : int
        Most rows of a request: a chunk that has more is sent as several, which are in flight together; 0: as many as
        the model takes.
    mode : Mode or None
        None: as the job says.
    allow_nonfinite : bool
        Whether outputs may hold NaN or infinity. Otherwise those are an error.
    """

    model: str = ""
    version: str = ""
    outputs: tuple[str, ...] = ()
    request_rows: int = 0
    mode: Mode | None = None
    allow_nonfinite: bool = False

    @abstractmethod
    def acquire(self, events: ak.Array) -> Mapping[str, np.ndarray]:
        """Make the model's inputs.

        Parameters
        ----------
        events : ak.Array
            As for :meth:`sonic.framework.Producer.produce`.

        Returns
        -------
        mapping of str to ndarray
            By input name. Nothing, or arrays of no rows: the model is not called; `produce` then gets no outputs, or
            outputs of no rows.
        """


class Offload(Offloaded):
    """A producer whose model runs as a service."""

    @abstractmethod
    def produce(self, events: ak.Array, outputs: Mapping[str, np.ndarray]) -> Columns:
        """Make the products.

        Parameters
        ----------
        events : ak.Array
            The same as `acquire` got.
        outputs : mapping of str to ndarray
            The model's outputs by name.

        Returns
        -------
        mapping of str to array
            Exactly the names in `produces`; each array with one entry an event.
        """


class OffloadFilter(Offloaded):
    """A filter whose model runs as a service."""

    @abstractmethod
    def select(self, events: ak.Array, outputs: Mapping[str, np.ndarray]) -> ArrayLike | ak.Array:
        """Decide which events pass.

        Parameters
        ----------
        events : ak.Array
            The same as `acquire` got.
        outputs : mapping of str to ndarray
            The model's outputs by name.

        Returns
        -------
        array of bool, shape (n_events,)
        """


def check_finite(module: Offloaded, outputs: Mapping[str, np.ndarray]) -> None:
    """Refuse outputs that are not numbers, unless the module allows them.

    Raises
    ------
    ModelFailed
        Names the model, the output and how many of its values are NaN or infinite.
    """
    if module.allow_nonfinite:
        return
    for name, array in outputs.items():
        if array.dtype.kind in "fc" and not np.isfinite(array).all():
            bad = int(array.size - np.count_nonzero(np.isfinite(array)))
            raise ModelFailed(
                f"model {module.model} gave {bad} of {array.size} values of output {name!r} as NaN or infinity"
            )


def rows(arrays: Mapping[str, np.ndarray]) -> int:
    """Rows of a request: the first dimension of its arrays."""
    return max((len(array) if array.ndim else 1 for array in arrays.values()), default=0)


def tensor_bytes(arrays: Mapping[str, np.ndarray]) -> int:
    """Bytes of the tensors on the wire, before any framing or compression."""
    total = 0
    for array in arrays.values():
        if array.dtype.kind == "O":
            total += sum(4 + len(element) for element in array.flat)
        else:
            total += array.nbytes
    return total
