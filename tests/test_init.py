"""The face of the package."""

from __future__ import annotations

import subprocess
import sys

import pytest

import sonic


@pytest.mark.parametrize("room", ["coffea", "errors", "framework"])
def test_what_the_package_names_is_there_after_its_import_alone(room: str) -> None:
    assert f":mod:`sonic.{room}`" in str(sonic.__doc__)
    assert room in dir(sonic)
    code = f"import sonic; print(sonic.{room}.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == f"sonic.{room}\n", done.stderr


def test_what_there_is_not() -> None:
    with pytest.raises(AttributeError, match="module 'sonic' has no attribute 'modle'"):
        sonic.modle  # type: ignore[attr-defined]  # noqa: B018
