"""Fixtures for the whole suite."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

from sonic.version import is_compiled

# A machine that is busy is slow, and no example is wrong for it.
settings.register_profile("sonic", deadline=None)
settings.load_profile("sonic")

# A shell that starts the suite in the background has it ignore Ctrl-C, and with it every process that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real event files and models; a user's machine may not have it."""
    here = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("SONIC_SHARED", here))
    if not (folder / "data").is_dir():
        pytest.skip(f"no real event files under {folder}: set SONIC_SHARED to the folder that has data/ and models/")
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what compiled modules do not let a test do, where an installed Sonic has them."""
    if is_compiled():
        for item in items:
            if item.get_closest_marker("interpreted"):
                item.add_marker(pytest.mark.skip(reason="Sonic is compiled here"))
