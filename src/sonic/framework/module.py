"""What a module is: it declares what it consumes and produces, and is handed chunks of events.

A module is called from several threads at once, with different chunks, so it keeps nothing between calls.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sonic.errors import WorkflowError
from sonic.framework.graph import Node

if TYPE_CHECKING:
    from collections.abc import Mapping

    import awkward as ak
    from numpy.typing import ArrayLike

    from sonic.framework.event import FileRange

    Columns = Mapping[str, ArrayLike | ak.Array]


@dataclass(frozen=True, slots=True)
class JobInfo:
    """What is known of a job when it begins.

    Parameters
    ----------
    workflow : str
    files : tuple of str
        The input, in its order.
    events : int
        Events that the whole job reads, repeats included.
    process, processes : int
        Number of this process, from 0, and how many there are. Each has modules of its own, and reads a part of the
        events.
    """

    workflow: str
    files: tuple[str, ...]
    events: int
    process: int = 0
    processes: int = 1


class Module(ABC):  # noqa: B024 - each kind has its own abstract method
    """Base of all modules.

    Attributes
    ----------
    name : str
        Unique in a workflow; appears in reports, traces and messages. The class's own name unless set.
    consumes : tuple of str
        Input branches and products of other modules that it needs.
    optional : tuple of str
        Those that it takes if they are there, and which are otherwise absent from `events`.
    produces : tuple of str
        Products that it makes.
    """

    name: str = ""
    consumes: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    produces: tuple[str, ...] = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "name" not in cls.__dict__:
            cls.name = cls.__name__

    # Called by one thread at a time, in the order of the modules. What they keep is for all events: chunks of the file
    # before may still be on their way when a file begins.

    def begin_job(self, job: JobInfo) -> None:  # noqa: B027 - nothing unless overridden
        """Prepare for a job, before its first event is read.

        Parameters
        ----------
        job : JobInfo
        """

    def end_job(self) -> None:  # noqa: B027
        """Clean up. Called once if `begin_job` was, however the job ended, and before the output gets its name.

        With several processes it is called in each, where `begin_job` was; not in one that is killed.
        """

    def begin_file(self, file: FileRange) -> None:  # noqa: B027
        """Prepare for a file, before the first of its chunks is given to any module.

        Parameters
        ----------
        file : FileRange
            A file that is read several times begins and ends as often. With several processes it begins and ends in
            each that reads a part of it; `file` is all that the job reads.
        """

    def end_file(self, file: FileRange) -> None:  # noqa: B027
        """Note that all of a file's chunks are written. Not called for files that an error left unfinished.

        Parameters
        ----------
        file : FileRange
        """


class Producer(Module):
    """A module that makes products."""

    @abstractmethod
    def produce(self, events: ak.Array) -> Columns:
        """Make the products.

        Parameters
        ----------
        events : ak.Array
            Records with a field for each column consumed, one entry an event; may be empty.

        Returns
        -------
        mapping of str to array
            Exactly the names in `produces`; each array with one entry an event.
        """


class Filter(Module):
    """A module that lets events pass. Modules listed after it see only those."""

    @abstractmethod
    def select(self, events: ak.Array) -> ArrayLike | ak.Array:
        """Decide which events pass.

        Parameters
        ----------
        events : ak.Array
            As for :meth:`Producer.produce`.

        Returns
        -------
        array of bool, shape (n_events,)
        """


class Analyzer(Module):
    """A module that sums something up over all events: histograms, counts."""

    @abstractmethod
    def analyze(self, events: ak.Array) -> Any:
        """Look at some events.

        Parameters
        ----------
        events : ak.Array
            As for :meth:`Producer.produce`.

        Returns
        -------
        object
            A new one each time, which adds up with ``+``: a ``hist.Hist``, a number, or a dict of such. Sums are made
            in the order of the events. Histograms are written to a ROOT output, in a folder of the module's name.
        """

    def summarize(self, total: Any) -> Mapping[str, float | int | str]:  # noqa: ARG002
        """Figures to show in the table at the end and in the report, by label; none unless overridden.

        A :class:`sonic.framework.Measured` is a number that is shown with its statistical error.

        Parameters
        ----------
        total : object
            The sum over all events.
        """
        return {}


def add(total: Any, part: Any) -> Any:
    """Sum of what an analyzer returned for two lots of events; dicts are summed key by key."""
    if isinstance(total, dict) and isinstance(part, dict):
        both = {key: add(total[key], part[key]) if key in part else total[key] for key in total}
        return both | {key: part[key] for key in part if key not in total}
    return total + part


def node_of(module: Module, *, is_filter: bool) -> Node:
    """Describe a module to the graph.

    Raises
    ------
    WorkflowError
        If it has no name, or a declaration is not a tuple of names.
    """
    if not isinstance(module, Module):
        raise WorkflowError(f"{module!r} is not a module: give instances of Producer, Filter, Analyzer or Offload")
    if not module.name or not isinstance(module.name, str):
        raise WorkflowError(f"a module of class {type(module).__name__} has no name: set the attribute `name`")
    columns = {}
    for field in ("consumes", "optional", "produces"):
        names = getattr(module, field)
        single = isinstance(names, str) or not isinstance(names, Iterable)
        if single or not all(isinstance(name, str) and name for name in names):
            raise WorkflowError(f"module {module.name}: `{field}` must be a tuple of names, got {names!r}")
        columns[field] = tuple(dict.fromkeys(names))
    return Node(module.name, is_filter=is_filter, **columns)
