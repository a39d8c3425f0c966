"""The port that every card implements."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Handle = TypeVar("Handle")


class Answer(NamedTuple):
    """What a card made of a block.

    Attributes
    ----------
    rows : float64 array [N, outputs]
    modelled_s : float or None
        How long a modelled card takes from being given the block; None: it is no model.
    late_s : float
        How much later it came than the model says.
    """

    rows: NDArray[np.float64]
    modelled_s: float | None = None
    late_s: float = 0.0


class Card(ABC, Generic[Handle]):
    """A card that computes blocks of rows. Thread-safe.

    Attributes
    ----------
    block : int
        Rows that it takes at once, at most.
    slots : int
        Blocks that can be under way at once: as many threads keep it busy.
    """

    block: int
    slots: int

    @abstractmethod
    def enqueue(self, rows: NDArray[np.float64], timeout_s: float) -> Handle:
        """Give it a block; waits until a buffer is free.

        Parameters
        ----------
        rows : float64 array [N, inputs]
            Finite, at most `block`.
        timeout_s : float

        Raises
        ------
        Unavailable
            If no buffer becomes free, or the card refuses.
        """

    @abstractmethod
    def wait(self, handle: Handle, timeout_s: float) -> Answer:
        """Return what became of a block. To be called once for each that was enqueued.

        Raises
        ------
        Unavailable
            If the card failed, or has not answered after so many seconds.
        """

    @abstractmethod
    def close(self) -> None:
        """Release it. No block is under way any more."""
