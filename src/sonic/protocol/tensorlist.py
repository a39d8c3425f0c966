"""The tensors of a message, whatever carries it: by name, each with what is wrong with it named after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from sonic.errors import InvalidRequest, Unsupported
from sonic.protocol.tensors import Misfit
from sonic.specs import DType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy as np


class Described(Protocol):
    """What a message says of a tensor."""

    @property
    def name(self) -> str:
        """The tensor's name."""

    @property
    def datatype(self) -> str:
        """As on the wire."""


D = TypeVar("D", bound=Described)


def read_each(
    what: str, model: str, described: Iterable[D], read: Callable[[D, DType], np.ndarray]
) -> tuple[dict[str, np.ndarray], dict[str, DType]]:
    """Read tensors one by one.

    Parameters
    ----------
    what : str
        ``"input"`` or ``"output"``, for messages.
    model : str
        The model's name, for messages.
    described : iterable
    read : callable
        Makes the array of one, given its datatype.

    Returns
    -------
    arrays : dict of str to ndarray
    dtypes : dict of str to DType
        Datatypes that the arrays do not say by themselves.

    Raises
    ------
    InvalidRequest, Unsupported
        As `read` does, with the names of tensor and model; or if a name is there twice, or a datatype is not of the
        protocol.
    """
    arrays: dict[str, np.ndarray] = {}
    dtypes: dict[str, DType] = {}
    for tensor in described:
        name = tensor.name
        try:
            if name in arrays:
                raise InvalidRequest("it already exists in the request")
            dtype = DType.from_wire(tensor.datatype)
            arrays[name] = read(tensor, dtype)
        except Misfit as error:
            raise error.of(what, name, model) from None
        except (InvalidRequest, Unsupported) as error:
            raise type(error)(f"{what} {name!r} for model {model!r}: {error}") from None
        if dtype is DType.BF16:
            dtypes[name] = dtype
    return arrays, dtypes
