"""A model that is called with awkward arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from sonic.client.promise import Promise
from sonic.errors import InferenceError

if TYPE_CHECKING:
    from concurrent.futures import Future

    import awkward as ak
    import numpy as np

    from sonic.client.conversion.declared import Conversion


class Called(Protocol):
    """What is called; :class:`sonic.Model` is one."""

    def submit(self, /, **arrays: np.ndarray[Any, Any]) -> Future[dict[str, np.ndarray[Any, Any]]]:
        """Call it and return at once."""

    def __call__(self, /, **arrays: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
        """Call it and wait."""


class AwkwardModel:
    """A model that takes awkward arrays and gives them back, by a declared conversion. Can be pickled if both can.

    Parameters
    ----------
    model : sonic.Model
    conversion : Conversion
    """

    def __init__(self, model: Called, conversion: Conversion) -> None:
        self.model = model
        self.conversion = conversion

    def submit(self, array: ak.Array) -> Future[dict[str, ak.Array]]:
        """Call the model and return at once.

        Parameters
        ----------
        array : ak.Array
            Of the structure that is declared, eager or virtual.

        Returns
        -------
        Future of dict of str to ak.Array
            Outputs by name, in the structure of the array; no rows are no call. It ends exactly once, in them or in an
            :class:`~sonic.errors.InferenceError`: InvalidRequest if the array does not fit.
        """
        promise: Promise[dict[str, ak.Array]] = Promise()
        try:
            laid = self.conversion.lay(array)
        except InferenceError as error:
            promise.reject(error)
        else:
            promise.follow(self.model.submit(**laid.inputs), laid.give_back)
        return promise

    def __call__(self, array: ak.Array) -> dict[str, ak.Array]:
        """Call the model and wait for its outputs; as :meth:`submit` otherwise.

        Raises
        ------
        InferenceError
            As the call ended.
        """
        laid = self.conversion.lay(array)
        return laid.give_back(self.model(**laid.inputs))
