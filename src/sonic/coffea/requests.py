"""A call, parted into requests that are in flight together."""

from __future__ import annotations

import operator
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sonic.client.arrays import has_rows, join
from sonic.client.gathering import WINDOW
from sonic.errors import ModelFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Future

    import numpy as np

    from sonic.client.model import Model
    from sonic.specs import ModelSpec

    Arrays = dict[str, np.ndarray[Any, Any]]

T = TypeVar("T")
S = TypeVar("S")

REQUEST_BYTES = 1 << 20
"""Of a larger request part could be computed while the rest is still on its way."""


class Pending(Generic[T]):
    """A call that is under way.

    Parameters
    ----------
    futures : sequence of Future
        Of its requests, or of what makes them.
    finish : callable
        Makes the result from theirs, in the thread that asks for it.
    """

    def __init__(self, futures: Sequence[Future[Any]], finish: Callable[[list[Any]], T]) -> None:
        self._futures = futures
        self._finish = finish

    def done(self) -> bool:
        """Whether the result is there without a wait."""
        return all(future.done() for future in self._futures)

    def cancel(self) -> None:
        """Give it up."""
        for future in self._futures:
            future.cancel()

    def result(self) -> T:
        """Wait for the result.

        Raises
        ------
        InferenceError
            As the first request that failed ended; the others are then given up.
        """
        try:
            return self._finish([future.result() for future in self._futures])
        finally:
            self.cancel()

    def then(self, more: Callable[[T], S]) -> Pending[S]:
        """Return the same call with more to do to its result."""
        return Pending(self._futures, lambda results: more(self._finish(results)))


def send(model: Model, arrays: Arrays, batch_rows: int) -> Pending[Arrays]:
    """Call a model; returns when the last request is on its way.

    Parameters
    ----------
    model : Model
    arrays : dict of str to ndarray
        By input name.
    batch_rows : int
        Most rows of a request, if above 0; never more than the model takes.
    """
    arrays = shaped(model.spec, arrays)
    edges = parted(model.spec, arrays, batch_rows)
    if len(edges) == 2:
        return Pending([model.submit(**arrays)], lambda results: results[0])
    futures: list[Future[Arrays]] = []
    for start, stop in pairwise(edges):
        if len(futures) >= WINDOW:
            oldest = futures[-WINDOW]
            wait([oldest])
            if oldest.cancelled() or oldest.exception() is not None:
                break  # the result is this error
        futures.append(model.submit(**{name: array[start:stop] for name, array in arrays.items()}))

    def joined(results: list[Arrays]) -> Arrays:
        for i, result in enumerate(results):
            sent = edges[i + 1] - edges[i]
            for name, array in result.items():
                if array.shape[:1] != (sent,):
                    raise ModelFailed(
                        f"output {name!r} of model {model.name!r} has shape {list(array.shape)} for {sent} rows"
                    )
        return join(results)

    return Pending(futures, joined)


def call(model: Model, arrays: Arrays, batch_rows: int) -> Arrays:
    """Call a model and wait; as :func:`send` otherwise. A single request then needs no other thread for its answer."""
    if len(parted(model.spec, arrays, batch_rows)) == 2:
        return model(**shaped(model.spec, arrays))
    return send(model, arrays, batch_rows).result()


def call_aside(function: Callable[..., T], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Pending[T]:
    """Have a function that calls a model and waits do so in a thread of its own."""
    thread = ThreadPoolExecutor(1, thread_name_prefix="sonic-coffea")
    future = thread.submit(function, *args, **kwargs)
    thread.shutdown(wait=False)  # the thread ends with the call
    return Pending([future], operator.itemgetter(0))


def shaped(spec: ModelSpec, arrays: Arrays) -> Arrays:
    """Return the arrays, those without rows in the shape that the model takes: of no lists nobody knows the length."""
    given = dict(arrays)
    for tensor in spec.inputs:
        array = given.get(tensor.name)
        if array is not None and array.ndim == len(tensor.shape) and array.shape[:1] == (0,) and tensor.shape[0] < 0:
            sizes = zip(tensor.shape[1:], array.shape[1:], strict=True)
            given[tensor.name] = array.reshape(0, *(size if size >= 0 else there for size, there in sizes))
    return given


def parted(spec: ModelSpec, arrays: Arrays, batch_rows: int) -> list[int]:
    """Return where the rows of each request begin, and where those of the last one end."""
    rows = rows_of(arrays) or 0
    most = rows_a_request(spec, arrays, batch_rows) or max(rows, 1)
    parts = max(1, -(-rows // most))
    return [rows * i // parts for i in range(parts + 1)]


def rows_of(arrays: Arrays) -> int | None:
    """Return the rows that all arrays have; None if they differ."""
    lengths = {len(array) if array.ndim else None for array in arrays.values()}
    return lengths.pop() if len(lengths) == 1 else None


def rows_a_request(spec: ModelSpec, arrays: Arrays, batch_rows: int) -> int | None:
    """Return the most rows to send together; None if the call is not to be parted."""
    rows = rows_of(arrays)
    if not rows or not has_rows(spec):
        return None
    row_bytes = max(1, sum(array.nbytes for array in arrays.values()) // rows)
    limits = [limit for limit in (spec.max_batch_size, batch_rows) if limit > 0]
    return min([*limits, max(1, REQUEST_BYTES // row_bytes)])
