from __future__ import annotations

import importlib
import pickle
import sys
import threading
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from sonic.server.backends.python.importing import ModelPackage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Maker:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.made: list[ModelPackage] = []

    def __call__(self, name: str, **files: str) -> ModelPackage:
        folder = self.path / name
        for file, text in files.items():
            path = folder / f"{file}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        provided = ModuleType("given")
        provided.value = 42
        self.made.append(ModelPackage([folder], {"given": provided}))
        return self.made[-1]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Maker]:
    maker = Maker(tmp_path)
    yield maker
    for package in maker.made:
        package.close()


def test_models_do_not_see_each_others_files(make: Maker) -> None:
    text = "import helper\ndef late():\n    import other\n    return other.name\n"
    one = make("one", model=text, helper="name = 'one'", other="name = 'late one'").load("model")
    two = make("two", model=text, helper="name = 'two'", other="name = 'late two'").load("model")
    assert (one.helper.name, two.helper.name) == ("one", "two")
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(two.late()))
    thread.start()
    thread.join()
    assert [one.late(), *found] == ["late one", "late two"]
    assert "helper" not in sys.modules
    assert "other" not in sys.modules


def test_every_form_of_import(make: Maker) -> None:
    text = """
import tools
import tools.deep
import tools.deep as deep
from tools import shallow
from tools.deep import answer
from . import helper
import helper as same
import os.path, json
import given
from given import value
"""
    deep = {"tools/__init__": "", "tools/deep": "answer = 7", "tools/shallow": "from .deep import answer"}
    module = make("m", model=text, helper="x = 1", **deep).load("model")
    assert module.tools.deep is module.deep
    assert module.shallow.answer == module.answer == 7
    assert module.helper is module.same
    assert module.value == module.given.value == 42
    assert module.json is sys.modules["json"]


def test_a_file_goes_before_the_library_for_its_model_alone(make: Maker) -> None:
    import json

    package = make("m", model="import json\nimport user", json="mine = True", user="import json")
    module = package.load("model")
    assert module.json.mine
    assert module.user.json is module.json
    assert sys.modules["json"] is json


def test_a_folder_of_data_is_no_module(make: Maker, tmp_path: Path) -> None:
    (tmp_path / "m" / "numpy").mkdir(parents=True)
    assert make("m", model="import numpy").load("model").numpy.__version__


def test_classes_can_be_pickled_while_the_model_is_there(make: Maker) -> None:
    module = make("m", model="from dataclasses import dataclass\n@dataclass\nclass A:\n    x: int = 1").load("model")
    assert pickle.loads(pickle.dumps(module.A(3))).x == 3


def test_nothing_is_left_behind(make: Maker, tmp_path: Path) -> None:
    package = make("m", model="import helper", helper="")
    package.load("model")
    package.close()
    assert not [name for name in sys.modules if name.startswith(package.name)]
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == ["helper.py", "model.py"]


def test_by_the_bare_name_while_it_is_loaded(make: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "tabnanny", raising=False)  # a library's that is yet to be imported
    text = """
import importlib, pickle
def find(name):
    return importlib.import_module(name)
def read(data):
    return pickle.loads(data)
class Python(pickle._Unpickler):
    pass
def slowly(data):
    import io
    return Python(io.BytesIO(data)).load()
"""
    files = {"tools/__init__": "", "tools/deep": "class A:\n    x = 7", "tabnanny": "mine = True"}
    one = make("one", model=text, helper_of_models="class A:\n    x = 1", **files)
    two = make("two", model=text, helper_of_models="class A:\n    x = 2")
    pickled = b"chelper_of_models\nA\n."
    for package, x in ((one, 1), (two, 2), (one, 1)):
        with package.loading():
            model = package.load("model")
            assert model.read(pickled) is model.slowly(pickled) is package.load("helper_of_models").A
            assert model.find("helper_of_models").A.x == x
        with pytest.raises(ModuleNotFoundError):
            model.find("helper_of_models")
    with one.loading():
        model = one.load("model")
        assert model.find("tools.deep").A is model.read(b"ctools.deep\nA\n.") is one.load("tools.deep").A
        assert not hasattr(model.find("tabnanny"), "mine")  # a library's name
    assert not {"helper_of_models", "tools", "tools.deep"} & sys.modules.keys()


def test_only_the_thread_that_loads_finds_bare_names(make: Maker) -> None:
    package = make("m", model="", helper_of_models="")
    failures: list[ModuleNotFoundError] = []

    def look() -> None:
        try:
            importlib.import_module("helper_of_models")
        except ModuleNotFoundError as error:
            failures.append(error)

    with package.loading():
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
    assert len(failures) == 1


def test_two_threads_that_load_find_each_its_own(make: Maker) -> None:
    packages = [make(name, model="", helper_of_models=f"x = {name!r}") for name in ("one", "two")]
    entered, gate = threading.Event(), threading.Event()
    found: list[str] = []

    def load(package: ModelPackage) -> None:
        with package.loading():
            entered.set()
            gate.wait(10)
            found.append(importlib.import_module("helper_of_models").x)

    threads = [threading.Thread(target=load, args=(package,)) for package in packages]
    threads[0].start()
    assert entered.wait(10)
    threads[1].start()
    gate.set()
    for thread in threads:
        thread.join(10)
    assert found == ["one", "two"]


def test_what_is_not_there(make: Maker) -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_helper"):
        make("m", model="import no_such_helper").load("model")
    with pytest.raises(ModuleNotFoundError, match="no_such"):
        make("n", model="").load("no_such")
