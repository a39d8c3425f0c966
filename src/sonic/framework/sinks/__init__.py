"""Where the output goes: one file a format, each a :class:`~sonic.framework.sinks.base.Sink`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sonic.errors import ConfigError

if TYPE_CHECKING:
    import os

    from sonic.framework.sinks.base import Sink


def open_sink(path: str | os.PathLike[str], tree: str = "Events") -> Sink:
    """Open the sink for a file name: ``.root``, or ``.parquet`` with the extra ``parquet``.

    Raises
    ------
    ConfigError
        If the name has another ending, or the extra is not installed.
    OutputError
        If there can be no such file.
    """
    suffix = Path(path).suffix
    if suffix == ".root":
        from sonic.framework.sinks.root import RootSink

        return RootSink(path, tree)
    if suffix in (".parquet", ".pq"):
        try:
            from sonic.framework.sinks.parquet import ParquetSink
        except ImportError as error:
            raise ConfigError(
                f"cannot write {path}: Parquet needs pyarrow: pip install 'sonic-hep[parquet]' ({error})"
            ) from error
        return ParquetSink(path, tree)
    raise ConfigError(f"cannot tell the format of {path}: its name must end in .root or .parquet")
