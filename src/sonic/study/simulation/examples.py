"""The specs of simulations that ship: scans of papers, and deployments to begin one's own with."""

from __future__ import annotations

from pathlib import Path

from sonic.errors import ConfigError
from sonic.framework.graph import similar

_SPECS = Path(__file__).parent / "specs"


def names() -> tuple[str, ...]:
    """Return what the specs are called; what stands before a ``-`` in several names stands for all of them."""
    stems = sorted(path.stem for path in _SPECS.glob("*.toml"))
    parts = ["-".join(stem.split("-")[:n]) for stem in stems for n in range(1, stem.count("-") + 1)]
    return tuple(sorted({*stems, *(part for part in parts if parts.count(part) > 1)}))


def find(given: str) -> tuple[Path, ...]:
    """Return the files that a name, or a path, stands for.

    Raises
    ------
    ConfigError
        If there is none.
    """
    if Path(given).suffix == ".toml" or Path(given).is_file():
        return (Path(given),)
    found = tuple(sorted(path for path in _SPECS.glob("*.toml") if f"{path.stem}-".startswith(f"{given}-")))
    if not found:
        raise ConfigError(f"no spec {given!r}: give a file, or one of {', '.join(names())}{similar(given, names())}")
    return found
