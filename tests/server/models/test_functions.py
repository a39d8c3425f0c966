from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

import sonic
from sonic.errors import ConfigError
from sonic.server.backends.services import services_in
from sonic.server.models.functions import Functions, find

if TYPE_CHECKING:
    from pathlib import Path

X = {"x": "FP32[-1,3]"}
Y = {"y": "FP32[-1]"}

FILE = """
import sonic
from helper import SCALE

@sonic.service(inputs={"x": "FP32[-1]"}, outputs={"y": "FP32[-1]"})
def scaled(x):
    return x * SCALE

@sonic.service(inputs={"x": "FP32[-1]"}, outputs={"y": "FP32[-1]"})
def same(x):
    return x

again = same
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "helper.py").write_text("SCALE = 2")
    path = tmp_path / "fits.py"
    path.write_text(FILE)
    return path


def test_services_are_found_in_a_file(file: Path) -> None:
    everything = find(str(file))
    assert [each.name for each in everything.services] == ["scaled", "same"]
    (one,) = find(f"{file}:scaled").services
    assert one.target(np.ones(1)) == 2
    assert one.home == file.parent
    assert one is not everything.services[0]  # a module of its own for each
    assert find(str(file.parent)) is None
    assert find("models/there") is None


def test_services_are_found_in_a_module(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(file.parent)
    for name in ("fits", "helper"):  # as it was before, at the end
        monkeypatch.setitem(sys.modules, name, None)
        del sys.modules[name]
    (one,) = find("fits:again").services
    assert one.name == "same"
    import fits

    assert [each.name for each in services_in(fits)] == ["scaled", "same"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{file}:nothing", "has no 'nothing': its services are scaled, same"),
        ("{file}:SCALE", "cannot serve 2"),
        ("{folder}/helper.py", r"has no function with @sonic\.service"),
        ("{folder}/none.py", "there is no file"),
        ("{folder}/broken.py", r"cannot import .*broken\.py: ZeroDivisionError"),
        ("{folder}/bad.py", "cannot import .*: service 'f': it has no inputs"),
        ("no_such_module_here:f", "cannot import no_such_module_here: ModuleNotFoundError"),
    ],
)
def test_what_names_no_service(file: Path, text: str, said: str) -> None:
    (file.parent / "broken.py").write_text("1 / 0")
    (file.parent / "bad.py").write_text("import sonic\nsonic.service(inputs={}, outputs={}, name='f')(len)")
    with pytest.raises(ConfigError, match=said):
        find(text.format(file=file, folder=file.parent))


def test_functions_and_folders_are_told_apart(file: Path) -> None:
    declared = sonic.service(inputs=X, outputs=Y, name="mine")(lambda x: x)
    functions = Functions()
    folders = functions.take(["models", file, declared, file.parent])
    assert [str(folder) for folder in folders] == ["models", str(file.parent)]
    assert list(functions.services) == ["scaled", "same", "mine"]
    functions.close()
    with pytest.raises(ConfigError, match="two functions are served as 'same'"):
        Functions().take([file, f"{file}:same"])
    with pytest.raises(ConfigError, match="one by one, given a list"):
        Functions().take([[declared]])
