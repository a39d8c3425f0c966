"""The records that a verb is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sonic.study.records import Record


def read(files: Sequence[Path], conditions: Sequence[str]) -> list[Record]:
    """Read files of records, keep those that meet the conditions, and say which were not measured."""
    from sonic.errors import DataError
    from sonic.study import storage
    from sonic.study.series import together, usable, where

    stems = [file.stem for file in files]
    named = {str(file) if stems.count(file.stem) > 1 else file.stem: storage.read(file) for file in files}
    if not any(named.values()):
        raise DataError(f"no records in {', '.join(map(str, files))}")
    records = where(together(named), conditions)
    for line in usable(records)[1]:
        say_left_out(line)
    return records


def say_left_out(line: str) -> None:
    """Say of a record that it was not measured."""
    from sonic.cli._console import open_console

    open_console(stderr=True).print(f"left out: {line}", markup=False, highlight=False, soft_wrap=True)


def settings() -> list[str]:
    """Return what points may differ in."""
    from sonic.study.scan.settings import KNOWN

    return [*KNOWN, "jobs"]


def quantities() -> list[str]:
    """Return what can be drawn beside the settings and the details of records."""
    from sonic.study.series import QUANTITIES

    return list(QUANTITIES)
