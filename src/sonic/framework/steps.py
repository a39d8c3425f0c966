"""How each kind of module is run on a chunk. Knows nothing of threads or of the order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from sonic.errors import WorkflowError
from sonic.framework.module import Analyzer, Filter, Producer
from sonic.framework.offload import Offload, Offloaded, OffloadFilter, check_finite

if TYPE_CHECKING:
    import awkward as ak

    from sonic.framework.event import Chunk
    from sonic.framework.graph import Graph
    from sonic.framework.module import Module


class Step:
    """A module at its place in the graph.

    Parameters
    ----------
    graph : Graph
    i : int
        Its number in the graph.
    module : Module
    """

    kind = "module"

    def __init__(self, graph: Graph, i: int, module: Module) -> None:
        node = graph.nodes[i]
        self.name = node.name
        self.level = graph.levels[i]
        self.is_filter = node.is_filter
        self.module: Any = module
        self._fields = (*node.consumes, *node.optional)
        self._produces = node.produces

    def view(self, chunk: Chunk) -> ak.Array:
        """Return what the module sees of a chunk."""
        return chunk.view(self._fields, self.level)

    def events(self, chunk: Chunk) -> int:
        """How many events it sees."""
        return chunk.selection.size(self.level)

    def run(self, chunk: Chunk) -> None:
        """Run an ordinary module."""
        raise NotImplementedError(f"{self.kind} {self.name} is not run in one go")


class ProducerStep(Step):
    """Runs a producer."""

    kind = "producer"

    def run(self, chunk: Chunk) -> None:
        """Call `produce` and keep the products."""
        chunk.put(self.module.produce(self.view(chunk)), self._produces, self.level)


class FilterStep(Step):
    """Runs a filter."""

    kind = "filter"

    def run(self, chunk: Chunk) -> None:
        """Call `select` and cut the chunk."""
        _cut(chunk, self.module.select(self.view(chunk)), self.level)


class AnalyzerStep(Step):
    """Runs an analyzer."""

    kind = "analyzer"

    def run(self, chunk: Chunk) -> None:
        """Call `analyze` and keep the result."""
        result = self.module.analyze(self.view(chunk))
        if result is None:  # of a single chunk nothing would be added up, and nobody would miss it
            raise TypeError("analyze returned None, expected what adds up over chunks, a histogram for instance")
        chunk.results[self.name] = result


class OffloadStep(Step):
    """Runs the two halves of an offload."""

    kind = "offload"

    def acquire(self, events: ak.Array) -> dict[str, np.ndarray]:
        """Return the model's inputs as numpy arrays; masked ones as they are, which the client refuses."""
        inputs = self.module.acquire(events)
        if not isinstance(inputs, Mapping):
            raise TypeError(f"acquire returned a {type(inputs).__name__}, expected a mapping of inputs by name")
        return {name: np.asanyarray(array) for name, array in inputs.items()}

    def produce(self, chunk: Chunk, events: ak.Array, outputs: Mapping[str, np.ndarray]) -> None:
        """Check the outputs, hand them to the module and keep what it makes."""
        check_finite(self.module, outputs)
        if isinstance(self.module, OffloadFilter):
            _cut(chunk, self.module.select(events, outputs), self.level)
        else:
            chunk.put(self.module.produce(events, outputs), self._produces, self.level)


_KINDS: tuple[tuple[type[Module], type[Step]], ...] = (
    (Offload, OffloadStep),
    (OffloadFilter, OffloadStep),
    (Filter, FilterStep),
    (Producer, ProducerStep),
    (Analyzer, AnalyzerStep),
)


def steps(graph: Graph, modules: tuple[Module, ...]) -> tuple[Step, ...]:
    """Return the steps of a workflow, in the order of its modules.

    Raises
    ------
    WorkflowError
        If a module is of no kind that can be run, or an offload names no model.
    """
    return tuple(_step(graph, i, module) for i, module in enumerate(modules))


def _step(graph: Graph, i: int, module: Module) -> Step:
    if isinstance(module, Offloaded) and not module.model:
        raise WorkflowError(f"module {module.name} names no model to call: set the attribute `model`")
    for kind, step in _KINDS:
        if isinstance(module, kind):
            return step(graph, i, module)
    raise WorkflowError(
        f"module {module.name} is a {type(module).__name__}: not a Producer, Filter, Analyzer, Offload or OffloadFilter"
    )


def _cut(chunk: Chunk, answer: Any, level: int) -> None:
    if np.ma.is_masked(answer):
        raise ValueError("select returned masked values: fill them, whether such an event passes")
    mask = np.asarray(answer)
    size = chunk.selection.size(level)
    if mask.shape != (size,) or (mask.dtype != np.bool_ and size):
        raise ValueError(f"select returned {mask.dtype} of shape {mask.shape}, expected bool of shape ({size},)")
    chunk.selection.apply(mask.astype(np.bool_, copy=False))
