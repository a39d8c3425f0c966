"""What is asked of the server, and what may come back. Pure: chance is passed in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from sonic.protocol.messages import InferRequest

from .models import MAX_ROWS, TAGGER, WIDTH

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sonic.errors import InferenceError
    from sonic.protocol.messages import InferResponse

    Arrays = Mapping[str, np.ndarray]

RIGHT = "right"
WRONG = "wrong"
CANCELLED = "cancelled"
HANGS, COMES_AND_GOES = "hangs", "comes and goes"
MAY_FAIL = (HANGS, COMES_AND_GOES)
"""Kinds of request that may end in an error as well as in their answer."""
LIMIT_S = 60.0
"""A request that has not ended by then is taken to be lost."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One request, and every way in which it may end.

    Parameters
    ----------
    kind : str
        Under which it is counted.
    request : InferRequest
        With a value and an id of its own, so that the answer to another one is seen.
    answer : mapping of str to ndarray or None
        The right outputs; None: none is right, it has to fail.
    errors : frozenset of str
        Names of the errors that it may end in.
    says : str
        What the text of such an error has to contain.
    """

    kind: str
    request: InferRequest
    answer: Arrays | None
    errors: frozenset[str] = frozenset()
    says: str = ""

    def judge(self, response: InferResponse) -> tuple[str, str]:
        """Return what became of it, and if that is wrong, why."""
        if self.answer is None:
            return WRONG, f"{self.label} was answered instead of refused"
        if response.id != self.request.id:
            return WRONG, f"{self.label} got the answer to {response.id!r}"
        for name, right in self.answer.items():
            given = response.outputs.get(name)
            if given is None or given.shape != right.shape or not np.array_equal(given, right):
                return WRONG, f"{self.label}: output {name!r} is {_shown(given)}, expected {_shown(right)}"
        return RIGHT, ""

    def judge_error(self, name: str, text: str) -> tuple[str, str]:
        """Return what became of it: the error's name, if that may be."""
        if name not in self.errors:
            return WRONG, f"{self.label} ended in {name}: {text}"
        if self.says not in text:
            return WRONG, f"{self.label}: the text of {name} should name {self.says!r}: {text}"
        return name, ""

    @property
    def label(self) -> str:
        """How to speak of it."""
        return f"{self.kind} request {self.request.id} to {self.request.model}"


@dataclass
class Asker:
    """Draws requests.

    Parameters
    ----------
    name : str
        Begins every id.
    random : numpy.random.Generator
    jets, scores
        As :func:`benchmarks.soak.models.jets` makes them.
    largest_bytes : int
        Of the large tensors.
    """

    name: str
    random: np.random.Generator
    jets: Arrays
    scores: np.ndarray
    largest_bytes: int = 4 << 20
    _asked: int = 0
    _kinds: dict[str, tuple[float, Callable[[], Probe]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._kinds = {
            "small": (30, self.small),
            "ensemble": (8, lambda: self.affine("ensemble", "chain", lambda x: 2 * x + 1 + 5)),
            "tagger": (4, self.tagger),
            "text": (6, self.text),
            "large": (3, self.large),
            COMES_AND_GOES: (15, self.visiting),
            "beside failures": (8, lambda: self.faulty(0)),
            "model raises": (3, lambda: self.faulty(1)),
            "wrong shape": (3, lambda: self.faulty(2)),
            "model refuses": (3, lambda: self.faulty(3)),
            HANGS: (2, self.slow),
            "bad": (8, self.bad),
        }

    def draw(self, *leave_out: str) -> Probe:
        """Draw a request of any kind but these."""
        kinds = {kind: entry for kind, entry in self._kinds.items() if kind not in leave_out}
        weights = np.array([weight for weight, _ in kinds.values()], float)
        _, make = list(kinds.values())[self.random.choice(len(kinds), p=weights / weights.sum())]
        return make()

    def small(self) -> Probe:
        """Make one of a few numbers, to a model that is replaced now and then, but always there."""
        if self.random.random() < 0.5:
            return self.affine("small", "scale", lambda x: 2 * x + 1)
        return self.affine("small", "shift", lambda x: x + 5)

    def visiting(self) -> Probe:
        """Make one to a model that comes and goes."""
        gone = frozenset({"Unavailable"})
        if self.random.random() < 0.5:
            return self.affine(COMES_AND_GOES, "guest", lambda x: x + 5, gone)
        x = self._numbers(np.int64, 1 << 40)
        return self._probe(COMES_AND_GOES, "count", {"x": x}, {"y": 3 * x - 1}, gone)

    def affine(
        self, kind: str, model: str, function: Callable[[np.ndarray], np.ndarray], errors: frozenset[str] = frozenset()
    ) -> Probe:
        """Make one of a few numbers, of which float32 holds twice as much and some more."""
        x = self._numbers(np.float32, 1 << 22)
        return self._probe(kind, model, {"x": x}, {"y": function(x)}, errors)

    def tagger(self) -> Probe:
        """Make one of some jets: what each gets must not depend on the others in a batch, down to the last bit."""
        chosen = self.random.integers(0, len(self.scores), self.random.integers(1, 5))
        inputs = {name: array[chosen] for name, array in self.jets.items()}
        return self._probe("tagger", TAGGER, inputs, {"softmax": self.scores[chosen]})

    def text(self) -> Probe:
        """Make one of texts of different lengths."""
        first = int(self.random.integers(1 << 40))
        x = np.array([str(first + i).encode() * (1 + i % 3) for i in range(self.random.integers(1, 40))], object)
        return self._probe("text", "words", {"x": x}, {"y": x})

    def large(self) -> Probe:
        """Make one with a tensor of up to the largest size, that comes back as it is."""
        length = int(self.random.integers(1 << 14, self.largest_bytes // 4 + 1))
        x = np.arange(length, dtype=np.float32)
        x += np.float32(self.random.integers(1 << 22))
        return self._probe("large", "copy", {"x": x}, {"y": x})

    def faulty(self, how: int) -> Probe:
        """Make one to a model that fails with some of a batch.

        Parameters
        ----------
        how : int
            0: not with this one. 1: it raises. 2: it gives a wrong shape. 3: it refuses.
        """
        x = self._numbers(np.float32, 1 << 22, rows=2, columns=WIDTH)
        inputs = {"h": np.full((2, 1), how, np.int32), "x": x}
        if how == 0:
            return self._probe("beside failures", "faulty", inputs, {"y": 4 * x})
        kind = ("", "model raises", "wrong shape", "model refuses")[how]
        says = "expected shape" if how == 2 else f"{x[0, 0]:.0f}"
        return self._probe(kind, "faulty", inputs, None, frozenset({"ModelFailed"}), says)

    def slow(self) -> Probe:
        """Make one to a model that takes longer than the request may, or nearly so."""
        x = np.array([self.random.integers(10, 400), self.random.integers(1 << 40)], np.int64)
        timeout_s = float(self.random.uniform(0.05, 0.4))
        return self._probe(HANGS, "slow", {"x": x}, {"y": x + 1}, frozenset({"DeadlineExceeded"}), timeout_s=timeout_s)

    def bad(self) -> Probe:
        """Make one that has to be refused, and why is plain from the text."""
        x = self._numbers(np.float32, 1 << 22)
        name = f"nobody-{self.random.integers(1 << 40)}"
        wrong: list[tuple[InferRequest, str, str]] = [
            (InferRequest(name, {"x": x}), "ModelNotFound", name),
            (InferRequest("scale", {"x": x}, version="77"), "ModelNotFound", "77"),
            (InferRequest("scale", {"x": x.astype(np.float64)}), "InvalidRequest", "FP64"),
            (InferRequest("scale", {name: x}), "InvalidRequest", name),
            (InferRequest("scale", {"x": x[0]}), "InvalidRequest", f"[{x.shape[1]}]"),
            (InferRequest("scale", {"x": x}, outputs=(name,)), "InvalidRequest", name),
            (
                InferRequest("scale", {"x": np.zeros((MAX_ROWS + 1, 3), np.float32)}),
                "InvalidRequest",
                str(MAX_ROWS + 1),
            ),
        ]
        request, error, says = wrong[self.random.integers(len(wrong))]
        return self._probe(
            "bad", request.model, request.inputs, None, frozenset({error}), says, version=request.version,
            outputs=request.outputs,
        )  # fmt: skip

    def _numbers(self, dtype: type, largest: int, *, rows: int = 0, columns: int = 0) -> np.ndarray:
        shape = (rows or self.random.integers(1, 9), columns or self.random.integers(1, 17))
        first = self.random.integers(largest)
        return (first + np.arange(shape[0] * shape[1])).reshape(shape).astype(dtype)

    def _probe(
        self,
        kind: str,
        model: str,
        inputs: Arrays,
        answer: Arrays | None,
        errors: frozenset[str] = frozenset(),
        says: str = "",
        *,
        timeout_s: float | None = None,
        version: str = "",
        outputs: tuple[str, ...] = (),
    ) -> Probe:
        self._asked += 1
        request = InferRequest(
            model, inputs, version, f"{self.name}-{self._asked}", outputs=outputs, timeout_s=timeout_s
        )
        return Probe(kind, request, answer, errors, says)


def name_of(error: InferenceError) -> str:
    """Name under which an error is counted: that of its class in Sonic's tree."""
    return type(error).__name__


def _shown(array: np.ndarray | None) -> str:
    if array is None:
        return "missing"
    return f"{array.dtype}{list(array.shape)} {array.ravel()[:4].tolist()}"
