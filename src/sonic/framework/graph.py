"""Which module can run next: the graph that the modules' declarations make.

Pure: names and numbers only, so that it can be simulated on virtual time as well as run.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from sonic.errors import DataError, WorkflowError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


@dataclass(frozen=True, slots=True)
class Node:
    """What the graph knows of a module.

    Parameters
    ----------
    name : str
    consumes, optional : tuple of str
        Columns it reads: input branches or products of other modules; `optional` ones may be absent.
    produces : tuple of str
        Columns it makes.
    is_filter : bool
        Whether the modules listed after it see only the events that it lets pass.
    """

    name: str
    consumes: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    produces: tuple[str, ...] = ()
    is_filter: bool = False


class Graph:
    """The plan of a workflow: levels, dependencies and what is read from the input.

    A module waits for the makers of what it consumes and for the last filter listed before it.

    Parameters
    ----------
    nodes : sequence of Node
        In the order listed, which matters for filters alone.

    Attributes
    ----------
    levels : tuple of int
        For each node, how many filters stand before it.
    filters : tuple of str
        Names of the filters in their order.
    makers : dict of str to int
        Which node makes a product.
    required, optional : dict of str to tuple of str
        Input branches that must, or may, be there, with the modules that read them.

    Raises
    ------
    WorkflowError
        If a name or product occurs twice, a module reads what only exists behind a later filter, or modules wait for
        each other in a circle.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = tuple(nodes)
        _check_names(self.nodes)
        self.filters = tuple(node.name for node in self.nodes if node.is_filter)
        self.levels = _levels(self.nodes)
        self.makers = _makers(self.nodes)
        self.required = self._from_input("consumes")
        self.optional = self._from_input("optional")
        before = [self._waits_for(i) for i in range(len(self.nodes))]
        _check_acyclic(self.nodes, before)
        self._missing = [len(found) for found in before]
        self._after: list[list[int]] = [[] for _ in self.nodes]
        for i, found in enumerate(before):
            for j in found:
                self._after[j].append(i)

    def check_input(self, available: Collection[str], where: str) -> None:
        """Check that an input can feed this graph.

        Parameters
        ----------
        available : collection of str
            Its branches.
        where : str
            For messages, e.g. ``"pfnano.root, tree Events"``.

        Raises
        ------
        DataError
            If a required branch is not there; names those with a similar name.
        WorkflowError
            If a module makes a column that the input has already.
        """
        for name, readers in self.required.items():
            if name not in available:
                raise DataError(
                    f"{where} has no branch {name!r}, and no module makes it; needed by {', '.join(readers)}"
                    + similar(name, [*available, *self.makers])
                )
        for name in self.filters:
            if name in available:
                raise WorkflowError(f"filter {name} is called like a branch of {where}: give it another name")
        for name, maker in self.makers.items():
            if name in available:
                raise WorkflowError(
                    f"module {self.nodes[maker].name} makes {name!r}, which {where} has already: give it another name"
                )

    def start(self) -> ReadySet:
        """Begin a chunk."""
        return ReadySet(self._missing, self._after)

    def _from_input(self, kind: str) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for node in self.nodes:
            for name in getattr(node, kind):
                if name not in self.makers:
                    found[name] = (*found.get(name, ()), node.name)
        return found

    def _waits_for(self, i: int) -> set[int]:
        node, level = self.nodes[i], self.levels[i]
        found = set()
        for name in (*node.consumes, *node.optional):
            maker = self.makers.get(name)
            if maker is None:
                continue
            if self.levels[maker] > level:
                raise WorkflowError(
                    f"module {node.name} consumes {name!r} for all events, but module {self.nodes[maker].name} makes "
                    f"it only for those that pass filter {self.filters[self.levels[maker] - 1]}: "
                    f"list {node.name} after that"
                )
            found.add(maker)
        if level:
            found.add(next(j for j, other in enumerate(self.nodes) if other.name == self.filters[level - 1]))
        return found


class ReadySet:
    """Modules of one chunk that are done, running, or can run now."""

    __slots__ = ("_after", "_missing", "remaining")

    def __init__(self, missing: Sequence[int], after: Sequence[Sequence[int]]) -> None:
        self._missing = list(missing)
        self._after = after
        self.remaining = len(self._missing)
        """Modules not yet done."""

    def roots(self) -> list[int]:
        """Modules that wait for nothing, in the order listed."""
        return [i for i, count in enumerate(self._missing) if count == 0]

    def done(self, i: int) -> list[int]:
        """Note that a module is done; returns those that can run because of it."""
        self.remaining -= 1
        missing = self._missing
        ready = []
        for j in self._after[i]:
            missing[j] -= 1
            if missing[j] == 0:
                ready.append(j)
        return ready


def similar(name: str, names: Collection[str]) -> str:
    """Text to append to a message about an unknown name: those that look like it, or nothing."""
    lower: dict[str, str] = {}
    for other in sorted(names):
        lower.setdefault(other.lower(), other)
    close = [lower[match] for match in get_close_matches(name.lower(), list(lower), n=3, cutoff=0.7)]
    return f"; similar: {', '.join(close)}" if close else ""


def similar_or_all(name: str, names: Collection[str]) -> str:
    """Text as of :func:`similar`, which names all that there are where none looks like it."""
    return similar(name, names) or f"; there are {', '.join(names)}"


def _check_names(nodes: Sequence[Node]) -> None:
    seen = set()
    masks = {node.name for node in nodes if node.is_filter}  # each is a column of the output
    for node in nodes:
        for name in masks.intersection(node.produces):
            raise WorkflowError(f"module {node.name} makes {name!r}, which is the name of a filter")
        if node.name in seen:
            raise WorkflowError(f"two modules are called {node.name!r}")
        seen.add(node.name)
        clash = set(node.produces) & {*node.consumes, *node.optional}
        if clash:
            raise WorkflowError(f"module {node.name} both consumes and makes {', '.join(sorted(clash))}")


def _levels(nodes: Sequence[Node]) -> tuple[int, ...]:
    levels, level = [], 0
    for node in nodes:
        levels.append(level)
        level += node.is_filter
    return tuple(levels)


def _makers(nodes: Sequence[Node]) -> dict[str, int]:
    makers: dict[str, int] = {}
    for i, node in enumerate(nodes):
        for name in node.produces:
            if name in makers:
                raise WorkflowError(f"modules {nodes[makers[name]].name} and {node.name} both make {name!r}")
            makers[name] = i
    return makers


def _check_acyclic(nodes: Sequence[Node], before: Sequence[set[int]]) -> None:
    try:
        TopologicalSorter(dict(enumerate(before))).prepare()
    except CycleError as error:
        circle = error.args[1]
        names = " -> ".join(nodes[i].name for i in circle)
        raise WorkflowError(f"modules wait for each other in a circle: {names}") from None
