"""What of a request and its response does not travel in the message: tensors in shared memory, and outputs as classes.

Specification: the shared memory and classification extensions of the Open Inference Protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from sonic.errors import InvalidRequest, Unsupported, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sonic.protocol.messages import Parameter
    from sonic.protocol.tensors import Buffer

REGION = "shared_memory_region"
OFFSET = "shared_memory_offset"
BYTE_SIZE = "shared_memory_byte_size"
CLASSES = "classification"
BINARY = "binary_data"


@dataclass(frozen=True, slots=True)
class Span:
    """Some bytes of a registered region of shared memory."""

    region: str
    offset: int
    byte_size: int

    def parameters(self, byte_size: int | None = None) -> dict[str, Parameter]:
        """Return the parameters by which a message says that a tensor is there, of so many bytes if not of all."""
        size = self.byte_size if byte_size is None else byte_size
        said: dict[str, Parameter] = {REGION: self.region, BYTE_SIZE: size}
        return {**said, OFFSET: self.offset} if self.offset else said


class Regions(Protocol):
    """The regions that one peer may name in its messages."""

    def view(self, span: Span) -> memoryview:
        """Return the bytes, writable. They stay mapped for as long as anything refers to the view.

        Raises
        ------
        RegionNotFound
            If no such region is registered.
        InvalidRequest
            If the bytes are not all within it.
        Unsupported
            If the peer may use none.
        """


@dataclass(frozen=True, slots=True)
class Place:
    """Where an output is to be put instead of into the response."""

    span: Span
    memory: memoryview


@dataclass(frozen=True, slots=True)
class Placement:
    """Which tensors of a request and of its answer travel in shared memory: the client's half.

    Parameters
    ----------
    inputs, outputs : mapping of str to Span
        By name. Inputs lie there before the request is sent; an output is to have no more bytes than its span.
    regions : Regions
        From which outputs are read.
    """

    inputs: Mapping[str, Span]
    outputs: Mapping[str, Span]
    regions: Regions


@dataclass(frozen=True, slots=True)
class Form:
    """How a response is to be written.

    Parameters
    ----------
    binary : bool
        Over HTTP: whether outputs are binary, but for those in `named`.
    named : mapping of str to bool
        Over HTTP: outputs of which the request says whether they are binary.
    places : mapping of str to Place
        Outputs that go into shared memory.
    """

    binary: bool = False
    named: Mapping[str, bool] = field(default_factory=dict)
    places: Mapping[str, Place] = field(default_factory=dict)

    def is_binary(self, output: str) -> bool:
        """Whether that output goes into the binary tail."""
        return self.named.get(output, self.binary)

    def put(self, output: str, content: Buffer) -> dict[str, Parameter] | None:
        """Copy an output to its place, if it has one.

        Returns
        -------
        dict or None
            The parameters that say in the response where it is; None if it has no place and belongs there itself.

        Raises
        ------
        InvalidRequest
            If the place is too small.
        """
        place = self.places.get(output)
        if place is None:
            return None
        source = memoryview(content).cast("B")
        if source.nbytes > place.span.byte_size:
            # Clients written for Triton know it by these words.
            raise InvalidRequest(
                f"shared memory size specified with the request for output {output!r} ({place.span.byte_size} bytes) "
                f"should be at least {source.nbytes} bytes to hold the results: region {place.span.region!r}"
            )
        place.memory[: source.nbytes] = source
        return place.span.parameters(source.nbytes)


PLAIN = Form()
"""Every output in the response, as it is."""
ALL_BINARY = Form(binary=True)
"""The same over HTTP, in the binary tail."""


def span_of(parameters: Mapping[str, Parameter]) -> Span | None:
    """Read where in shared memory a tensor is, from its parameters; None if it is not there.

    Raises
    ------
    InvalidRequest
        If the parameters make no sense.
    """
    region = parameters.get(REGION)
    if region is None:
        for name in (OFFSET, BYTE_SIZE):
            if name in parameters:
                raise InvalidRequest(f"parameter {name} is given without {REGION}")
        return None
    if not isinstance(region, str):
        raise InvalidRequest(f"parameter {REGION} is the name of a region, given {shown(region)}")
    if BYTE_SIZE not in parameters:
        raise InvalidRequest(f"parameter {REGION} is given without {BYTE_SIZE}")
    return Span(region, _bytes(parameters, OFFSET), _bytes(parameters, BYTE_SIZE))


def view_of(span: Span, regions: Regions | None) -> memoryview:
    """Return the bytes of a span, for a server that may have no shared memory at all."""
    if regions is None:
        raise Unsupported("shared memory is not offered")
    return regions.view(span)


class FormReader:
    """Collects from the parameters of wanted outputs how each is wanted."""

    def __init__(self, regions: Regions | None) -> None:
        self._regions = regions
        self._named: dict[str, bool] = {}
        self._places: dict[str, Place] = {}
        self.classes: dict[str, int] = {}

    def read(self, output: str, parameters: Mapping[str, Parameter]) -> None:
        """Read the parameters of one output.

        Raises
        ------
        InvalidRequest, RegionNotFound, Unsupported
            With the output's name.
        """
        try:
            if BINARY in parameters:
                self._named[output] = flag(parameters, BINARY)
            classes = parameters.get(CLASSES, 0)
            if isinstance(classes, bool) or not isinstance(classes, int) or not 0 <= classes < 2**31:
                raise InvalidRequest(f"parameter {CLASSES} is a number of classes, given {shown(classes)}")
            span = span_of(parameters)
            if span is not None:
                if classes:
                    raise InvalidRequest(f"output can't set both {REGION!r} and {CLASSES!r}")
                self._places[output] = Place(span, view_of(span, self._regions))
            if classes:
                self.classes[output] = classes
        except (InvalidRequest, Unsupported) as error:
            raise type(error)(f"output {output!r}: {error}") from None

    def form(self, *, binary: bool = False) -> Form:
        """Return the form of the whole response."""
        return Form(binary, self._named, self._places)


def flag(parameters: Mapping[str, Parameter], name: str) -> bool:
    """Return a parameter that is true or false; False if it is not given.

    Raises
    ------
    InvalidRequest
        If it is neither.
    """
    value = parameters.get(name, False)
    if not isinstance(value, bool):
        raise InvalidRequest(f"parameter {name} is true or false, given {shown(value)}")
    return value


def _bytes(parameters: Mapping[str, Parameter], name: str) -> int:
    value = parameters.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**64:
        raise InvalidRequest(f"parameter {name} is a number of bytes, given {shown(value)}")
    return value
