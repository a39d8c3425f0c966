"""A workflow: modules, what is kept of their products, and where their models are. Found by name or in a file."""

from __future__ import annotations

import sys
import traceback
from dataclasses import dataclass, field, replace
from importlib.metadata import entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING

from sonic.errors import ConfigError, SonicError, WorkflowError, one_line
from sonic.framework.graph import Graph, similar
from sonic.framework.module import Filter, Module, node_of
from sonic.framework.offload import Offloaded, OffloadFilter
from sonic.framework.options import settings
from sonic.framework.state import attributes

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

GROUP = "sonic.workflows"


@dataclass(frozen=True)
class Workflow:
    """What a job does with its events.

    Parameters
    ----------
    name : str
    modules : tuple of Module
        The order matters for filters alone: modules listed after one see only the events that pass it.
    keep : tuple of str
        Input branches and products that go to the output, as names or patterns with ``*``, ``?`` and ``[...]``. A plain
        name must exist, a pattern may match nothing.
    models : path or None
        Repository of the models that its offloads call. In a workflow file it may be relative to that file.
    tree : str
        Name of the TTree that holds the events.
    chunk_size : int
        Events in a chunk, unless the job says otherwise; fewer for a workflow whose events are large.

    Raises
    ------
    WorkflowError
        If `modules` or `keep` is a single one.
    """

    name: str
    modules: tuple[Module, ...]
    keep: tuple[str, ...] = ("*",)
    models: str | os.PathLike[str] | None = None
    tree: str = "Events"
    chunk_size: int = 100
    origin: str = field(default="", init=False, repr=False, compare=False)
    """Under which name or path :func:`load` found it, so that another process can load it too; empty if it did not."""
    options: tuple[str, ...] = field(default=(), init=False, repr=False, compare=False)
    """With which options :func:`load` made it, as ``key=value``."""
    _found_with: tuple[Mapping[str, object], ...] = field(default=(), init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, single in (("modules", Module), ("keep", str)):
            if isinstance(given := getattr(self, name), single):
                raise WorkflowError(f"workflow {self.name}: `{name}` must be a tuple, got {given!r}")

    @property
    def as_found(self) -> bool:
        """Whether the modules are set as :func:`load` found them, so that it finds the same in another process."""
        return bool(self.origin) and self._found_with == _settings_of(self)

    def graph(self) -> Graph:
        """Plan the modules.

        Raises
        ------
        WorkflowError
            If they cannot run; see :class:`~sonic.framework.graph.Graph`.
        """
        return Graph([node_of(m, is_filter=isinstance(m, Filter | OffloadFilter)) for m in self.modules])

    def offloads(self) -> tuple[Offloaded, ...]:
        """Modules that call a model."""
        return tuple(m for m in self.modules if isinstance(m, Offloaded))


def known() -> tuple[str, ...]:
    """Names of the installed workflows."""
    return tuple(sorted(point.name for point in entry_points(group=GROUP)))


def load(name: str, options: Sequence[str] = ()) -> Workflow:
    """Find a workflow.

    Parameters
    ----------
    name : str
        Of an installed workflow (entry points ``sonic.workflows``), or the path of a Python file that defines
        ``workflow``: a :class:`Workflow`, or a function that returns one.
    options : sequence of str
        ``key=value``, for the keyword-only arguments of that function; see :mod:`sonic.framework.options`.

    Raises
    ------
    ConfigError
        If there is none, it has no such option, or its code fails; lists the workflows there are.
    """
    if name.endswith(".py") or _is_file(Path(name)):
        return _found(_from_file(Path(name), options), str(Path(name).absolute()), options)
    for point in entry_points(group=GROUP):
        if point.name == name:
            return _found(_made(point.load, f"workflow {name}", options), name, options)
    raise ConfigError(
        f"no workflow {name!r}{similar(name, known())}; installed: {', '.join(known()) or 'none'}; "
        "one of your own is a Python file, e.g. my_workflow.py"
    )


def _found(workflow: Workflow, origin: str, options: Sequence[str]) -> Workflow:
    object.__setattr__(workflow, "origin", origin)  # which a workflow that is made from this one does not inherit
    object.__setattr__(workflow, "options", tuple(options))
    object.__setattr__(workflow, "_found_with", _settings_of(workflow))
    return workflow


def _settings_of(workflow: Workflow) -> tuple[Mapping[str, object], ...]:
    return tuple(attributes(module) for module in workflow.modules)


def _from_file(path: Path, options: Sequence[str]) -> Workflow:
    if not _is_file(path):
        raise ConfigError(f"no workflow file {path}")
    folder = str(path.resolve().parent)
    if folder not in sys.path:  # as for a script: what lies beside it can be imported
        sys.path.insert(0, folder)

    def find() -> object:
        spec = spec_from_file_location(f"sonic_workflow_{path.stem}", path)
        if spec is None or spec.loader is None:
            raise ConfigError(f"{path} is not a Python file")
        module = module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        contents: Mapping[str, object] = vars(module)
        if "workflow" not in contents:
            raise ConfigError(f"{path} does not define `workflow`")
        return contents["workflow"]

    workflow = _made(find, str(path), options)
    if workflow.models is not None and (path.parent / workflow.models).is_dir():
        return replace(workflow, models=path.parent / workflow.models)
    return workflow


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long, say
        return False


def _made(find: Callable[[], object], where: str, options: Sequence[str]) -> Workflow:
    """Run somebody's code that ends in a workflow."""
    try:
        found = find()
        if options and not callable(found):
            raise ConfigError(f"{where} has no options: its `workflow` is not a function")
        workflow = found(**(settings(found, options) if options else {})) if callable(found) else found
    except SonicError:
        raise
    except SyntaxError as error:  # says the place itself
        raise ConfigError(f"{where} failed to load: {one_line(error)}") from error
    except (Exception, SystemExit) as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(frame.filename).name} line {frame.lineno}"
        raise ConfigError(f"{where} failed to load: {one_line(error)} ({place})") from error
    if not isinstance(workflow, Workflow):
        raise ConfigError(f"{where}: `workflow` is a {type(workflow).__name__}, not a sonic.framework.Workflow")
    return workflow
