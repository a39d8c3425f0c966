"""Going on with a job: which one a journal belongs to, by everything that the output depends on, and what is in it."""

from __future__ import annotations

import hashlib
import inspect
import math
import os
from abc import ABC
from collections import deque
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sonic.framework.journal import Journal
from sonic.framework.offload import Offloaded
from sonic.framework.sinks.base import part_of
from sonic.framework.state import attributes
from sonic.protocol.digests import digest
from sonic.protocol.modelfolder import CONFIG_NAME, files_of, read_text
from sonic.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sonic.framework.finished import Finished, Kept
    from sonic.framework.targets import Target
    from sonic.framework.workflow import Workflow


def identity(
    workflow: Workflow,
    inputs: Sequence[str],
    targets: Sequence[Target],
    kept: Sequence[Kept],
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Say which job it is, as JSON can hold it. To be asked before modules begin: what they prepare then is not theirs.

    Parameters
    ----------
    workflow : Workflow
    inputs : sequence of str
    targets : sequence of Target
    kept : sequence of Kept
        What goes to each of them.
    settings : mapping of str to object
        What else the output depends on.

    Raises
    ------
    DataError
        If a file of a model cannot be read.
    """
    return {
        "sonic": __version__,
        "workflow": workflow.name,
        "options": sorted(workflow.options),
        "tree": workflow.tree,
        "modules": [_module(module) for module in workflow.modules],
        "the modules' code": _code(workflow),
        **{f"{module.name}.{name}": value for module in workflow.modules for name, value in attributes(module).items()},
        **{f"model {model}": files for model, files in _models(workflow).items()},
        "inputs": [_input(file) for file in inputs],
        "outputs": [[str(target.path), list(of.columns), of.widen] for target, of in zip(targets, kept, strict=True)],
        **settings,
    }


def open_journal(job: Mapping[str, Any], targets: Sequence[Target]) -> Journal:
    """Open the journal beside a job's first output, and remove what killed runs left of the outputs.

    Parameters
    ----------
    job : mapping of str to object
        Its :func:`identity`.
    targets : sequence of Target

    Raises
    ------
    ConfigError, OutputError
        See :class:`~sonic.framework.journal.Journal`.
    """
    first = Path(os.path.realpath(targets[0].path))
    journal = Journal(first.with_name(f"{first.name}.journal"), job)
    for process in journal.owners:
        if process != os.getpid():  # the lock says that it has ended
            for target in targets:
                part_of(target.path, process).unlink(missing_ok=True)
    return journal


class Resumption:
    """Puts what earlier runs finished and what this one does together, and notes the latter.

    Parameters
    ----------
    journal : Journal
    take : callable
        Takes each chunk.
    ordered : bool
        Whether in the order of the input: this run does chunks between those of earlier runs if a module failed there.
    """

    def __init__(self, journal: Journal, take: Callable[[Finished], None], *, ordered: bool) -> None:
        self._journal = journal
        self._take = take
        self._left = deque(sorted(journal.done) if ordered else journal.done)
        # What can go first does, before any time is taken.
        self._restore(next(index for index in count() if index not in journal.done) if ordered else math.inf)

    def write(self, finished: Finished) -> None:
        """Take what this run has done next."""
        self._restore(finished.where.index)
        self._take(finished)
        self._journal.append(finished)

    def end(self) -> None:
        """Take what is behind the last that this run had to do."""
        self._restore(math.inf)

    def _restore(self, before: float) -> None:
        while self._left and self._left[0] < before:
            self._take(self._journal.finished(self._left.popleft()))


def _module(module: Any) -> list[str]:
    model = [module.model, module.version] if isinstance(module, Offloaded) else []
    return [module.name, type(module).__qualname__, *model]


def _code(workflow: Workflow) -> str:
    """Checksum of the files that the workflow, the modules' classes and all that these inherit from are written in."""
    files = {workflow.origin} if Path(workflow.origin).is_file() else set()
    kinds = {kind for module in workflow.modules for kind in type(module).__mro__}
    for kind in kinds - {ABC, object}:
        try:
            files.add(inspect.getfile(kind))
        except (TypeError, OSError):  # written at a prompt
            continue
    code = hashlib.sha256()
    for file in sorted(files):
        code.update(Path(file).read_bytes())
    return code.hexdigest()


def _models(workflow: Workflow) -> dict[str, dict[str, str]]:
    """Checksums of the files of the workflow's own models, and of those that ensembles among them are made of."""
    if workflow.models is None:
        return {}
    from sonic.client.fallback.shared import parts  # here, since a job without models needs no client

    repository = Path(workflow.models)
    found = {}
    called = {module.model for module in workflow.offloads()}
    for name in sorted(called.union(*(parts(str(repository), model) for model in called))):
        if (repository / name).is_dir():
            files = files_of(repository / name)
            found[name] = {CONFIG_NAME: hashlib.sha256(read_text(repository / name).encode()).hexdigest()}
            found[name] |= {path: digest(file, "SHA256") for path, file in files.items()}
    return found


def _input(file: str) -> list[Any]:
    """Name of an input, with size and time where the file system knows them."""
    try:
        found = Path(file).stat()
    except OSError:  # a URL
        return [file]
    return [file, found.st_size, found.st_mtime_ns]
