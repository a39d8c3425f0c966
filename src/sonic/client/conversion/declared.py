"""Awkward arrays in and out of a model, by a conversion that is declared once. Pure.

A model has rows: events, or objects within events, such as jets. A row's numbers, and its lists of entries, such as a
jet's particles, become the model's inputs; its outputs come back in the structure that the rows had::

    particles = Padded("particles", size=50, truncate=True, order_by="pt")
    conversion = Conversion(
        inputs={
            "points": particles.channels("deta", "dphi"),
            "features": particles.channels(("pt", Log()), ("charge", Clip(-1, 1)), "deta"),
            "mask": particles.mask(),
        },
        outputs={"softmax": Rows().values("b", "c", "light")},
        rows=1,
    )

Everything here can be pickled, as far as the callables that it is given can.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import awkward as ak

from sonic.client.conversion.layouts import Input, Output, Rows, RowsOf
from sonic.client.conversion.ragged import restore
from sonic.errors import ConfigError, InvalidRequest, ModelFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sonic.client.conversion.ragged import Numbers

_ONE_A_ROW = Rows().values()


@dataclass(frozen=True)
class Conversion:
    """How awkward arrays become a model's inputs, and its outputs awkward arrays.

    Parameters
    ----------
    inputs : mapping of str to Input
        By the model's names.
    outputs : mapping of str to Output, optional
        Those that are not one element a row, or whose last axis has names.
    rows : int
        How many lists deep the rows are: 0, events; 1, objects in lists of events.

    Raises
    ------
    ConfigError
        If there are no inputs, one is not declared, or the rows are no depth.
    """

    inputs: Mapping[str, Input]
    outputs: Mapping[str, Output] = field(default_factory=dict)
    rows: int = 0

    def __post_init__(self) -> None:
        if not self.inputs:
            raise ConfigError("a conversion needs inputs")
        for name, given in self.inputs.items():
            if not isinstance(given, Input):
                raise ConfigError(f"input {name!r} is to be what channels() or the like declares, given {given!r}")
        for name, wanted in self.outputs.items():
            if not isinstance(wanted, Output):
                raise ConfigError(f"output {name!r} is to be what values() declares, given {wanted!r}")
        if self.rows < 0:
            raise ConfigError(f"rows are at least 0 lists deep; given {self.rows}")

    def lay(self, array: ak.Array) -> Laid:
        """Make a model's inputs.

        Parameters
        ----------
        array : ak.Array
            Eager or virtual; only the fields that are declared are read.

        Raises
        ------
        InvalidRequest
            If it has not the structure declared; names the input.
        """
        rows = self._rows_of(array)
        inputs = {}
        for name, declared in self.inputs.items():
            try:
                inputs[name] = declared.make(rows)
            except InvalidRequest as error:
                raise InvalidRequest(f"input {name!r}: {error}") from None
        return Laid(inputs, rows, dict(self.outputs))

    def give_back(self, array: ak.Array, outputs: Mapping[str, Numbers]) -> dict[str, ak.Array]:
        """Return outputs in the structure of the array whose inputs they are of, as :meth:`Laid.give_back` does.

        For who has the array again, as an offload's `produce` has.
        """
        return Laid({}, self._rows_of(array), dict(self.outputs)).give_back(outputs)

    def _rows_of(self, array: ak.Array) -> RowsOf:
        return RowsOf(ak.to_layout(array), self.rows, self.inputs.values())


class Laid:
    """The inputs of one array, and the way back for their outputs.

    Attributes
    ----------
    inputs : dict of str to ndarray
    """

    def __init__(self, inputs: dict[str, Numbers], rows: RowsOf, outputs: dict[str, Output]) -> None:
        self.inputs = inputs
        self._rows = rows
        self._outputs = outputs

    def __len__(self) -> int:
        return len(self._rows)

    def give_back(self, outputs: Mapping[str, Numbers]) -> dict[str, ak.Array]:
        """Return outputs in the structure that the array had.

        Raises
        ------
        ModelFailed
            If one has not as many elements as that takes; names the output.
        """
        made = {}
        for name, array in outputs.items():
            declared = self._outputs.get(name, _ONE_A_ROW)
            try:
                content = declared.give_back(self._rows, array)
            except ModelFailed as error:
                raise ModelFailed(f"output {name!r}: {error}") from None
            made[name] = ak.Array(restore(self._rows.levels, content))
        return made
