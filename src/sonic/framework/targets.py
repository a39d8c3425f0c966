"""The outputs of a job: which file takes what."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from sonic.errors import ConfigError, DataError
from sonic.files import writing
from sonic.framework.graph import similar

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sonic.framework.graph import Graph


@dataclass(frozen=True, slots=True)
class Target:
    """An output of a job.

    Parameters
    ----------
    path : path
        A ``.root`` or ``.parquet`` file.
    keep : tuple of str or None
        Branches and products that go there, as names or patterns; None: as the job says.
    filter_output : {"mask", "pass"} or None
        Whether every event goes there, or only those that pass all filters; None: as the job says.

    Raises
    ------
    ConfigError
        If `keep` is a single name.
    """

    path: str | os.PathLike[str]
    keep: tuple[str, ...] | None = None
    filter_output: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.keep, str):
            raise ConfigError(f"keep of output {self.path} is a sequence of names, given the one {self.keep!r}")


def targets_of(
    output: str | os.PathLike[str] | Target | Sequence[str | os.PathLike[str] | Target] | None,
    filter_output: str,
    keep: Sequence[str],
) -> tuple[Target, ...]:
    """Say for each output what goes there.

    Parameters
    ----------
    output : path or Target, or several, or None
    filter_output : {"mask", "pass"}
    keep : sequence of str
        What goes to those that do not say so themselves.

    Raises
    ------
    ConfigError
        If `filter_output`, of one or of all, is neither.
    """
    given = () if output is None else (output,) if isinstance(output, str | os.PathLike | Target) else output
    targets = []
    for one in given:
        target = one if isinstance(one, Target) else Target(one)
        chosen = filter_output if target.filter_output is None else target.filter_output
        targets.append(Target(target.path, tuple(keep) if target.keep is None else target.keep, chosen))
    for way in (*(target.filter_output for target in targets), filter_output):
        if way not in ("mask", "pass"):
            raise ConfigError(f"filter output {way!r}: expected mask or pass")
    return tuple(targets)


def check_targets(targets: Sequence[Target], inputs: Sequence[str]) -> None:
    """Check that no output is an input, or there twice.

    Raises
    ------
    ConfigError
        If one is.
    OutputError
        If a path cannot be looked at.
    """
    seen = set()
    for target in targets:
        path = Path(target.path)
        with writing(path):
            for file in inputs:
                if path.exists() and Path(file).exists() and path.samefile(file):
                    raise ConfigError(f"output {path} is also an input")
        if os.path.realpath(path) in seen:
            raise ConfigError(f"output {path} is given twice")
        seen.add(os.path.realpath(path))


def choose(patterns: Sequence[str], branches: Collection[str], graph: Graph) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Find what goes to the output.

    Parameters
    ----------
    patterns : sequence of str
        Names, or patterns with ``*``, ``?`` and ``[...]``.
    branches : collection of str
        Of the input.
    graph : Graph

    Returns
    -------
    tuple of str, tuple of str
        Input branches and products, each sorted.

    Raises
    ------
    DataError
        If a plain name is neither a branch nor a product, or there is nothing that any of the patterns means.
    """
    names = {*branches, *graph.makers}
    found: set[str] = set()
    for pattern in patterns:
        if any(sign in pattern for sign in "*?["):
            found |= {name for name in names if fnmatchcase(name, pattern)}
        elif pattern in names:
            found.add(pattern)
        elif pattern not in graph.filters:
            raise DataError(
                f"cannot keep {pattern!r}: neither a branch of the input nor a product{similar(pattern, names)}"
            )
    if patterns and not found and set(patterns).isdisjoint(graph.filters):
        raise DataError(f"nothing to keep: no branch of the input and no product is like {', '.join(patterns)}")
    return tuple(sorted(found & set(branches))), tuple(sorted(found & graph.makers.keys()))
