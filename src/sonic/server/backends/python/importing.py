"""Import a model.py and the files beside it so that several models in one process do not see each other's.

Triton starts a process for each model, where ``import helper`` finds the helper.py beside model.py. Here every model
is a package of its own, with a name that no other has, and its modules get an ``import`` that looks into their folders
first. What is imported from elsewhere (numpy, torch ...) is shared. No bytecode is written: folders of models are only
read.

Pickles and ``importlib.import_module`` look for a module by its bare name alone. While a model is loaded, the thread
that loads it finds its files so, too, but for those that have the name of a library. Since the process has one table of
bare names, such models are loaded one at a time.
"""

from __future__ import annotations

import builtins
import importlib
import itertools
import sys
import threading
from contextlib import contextmanager
from importlib.abc import Loader
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import TYPE_CHECKING, Any

from sonic.errors import ConfigError, SonicError, one_line
from sonic.server.failures import is_interrupt

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from types import CodeType

_PREFIX = "_sonic_model_"
_serial = itertools.count()
_packages: dict[str, ModelPackage] = {}


class _Loading(threading.local):
    package: ModelPackage | None = None


_loading = _Loading()
_bare_names = threading.RLock()


class ModelPackage:
    """The modules of one model.

    Parameters
    ----------
    folders : sequence of Path
        Where its files are, the first one first.
    provided : mapping of str to module
        What its modules import by these names, wherever else there may be one.
    """

    def __init__(self, folders: Sequence[Path], provided: Mapping[str, ModuleType]) -> None:
        self.name = f"{_PREFIX}{next(_serial)}"
        self._folders = list(dict.fromkeys(map(str, folders)))
        self._provided = provided
        self._own: dict[str, bool] = {}
        self._bare: list[str] = []
        self.builtins = {**vars(builtins), "__import__": self._import}
        package = ModuleType(self.name)
        package.__path__ = self._folders
        _packages[self.name] = self
        sys.modules[self.name] = package
        if _FINDER not in sys.meta_path:
            sys.meta_path.insert(0, _FINDER)

    def load(self, module: str) -> ModuleType:
        """Import one of the files, given by its name without the suffix."""
        return importlib.import_module(f"{self.name}.{module}")

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Let the calling thread find the modules by their bare names, of which nothing is left afterwards."""
        with _bare_names:
            before, _loading.package = _loading.package, self
            try:
                yield
            finally:
                _loading.package = before
                for name in self._bare:
                    sys.modules.pop(name, None)
                self._bare.clear()

    def bare(self, name: str) -> ModuleSpec | None:
        """Find one by its bare name; None if there is none, or a library has that name."""
        top = name.partition(".")[0]
        if self._owns(top) and not _is_library(top):
            return ModuleSpec(name, _BareLoader(self), is_package=True)
        return None

    def enter(self, name: str) -> None:
        """Put one among the modules of the process by its bare name, for as long as the model is being loaded."""
        self._bare.append(name)
        sys.modules[name] = self.load(name)

    def close(self) -> None:
        """Forget the modules; what still refers to them keeps them alive."""
        _packages.pop(self.name, None)
        for name in [n for n in sys.modules if n == self.name or n.startswith(f"{self.name}.")]:
            del sys.modules[name]

    def _import(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,  # noqa: A002 - as the statement calls it
        locals: Mapping[str, object] | None = None,  # noqa: A002
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        top = name.partition(".")[0]
        if level == 0:
            if name in self._provided:
                return self._provided[name]
            if self._owns(top):
                module = self.load(name)
                if _loading.package is self and self.bare(name) is not None:
                    importlib.import_module(name)  # a pickle's import, which looks for it there
                if not fromlist:
                    return sys.modules[f"{self.name}.{top}"]
                return builtins.__import__(module.__name__, globals, locals, fromlist, 0)
        return builtins.__import__(name, globals, locals, fromlist or (), level)

    def _owns(self, top: str) -> bool:
        if top not in self._own:
            spec = PathFinder.find_spec(top, self._folders)
            if spec is not None and spec.origin is None:
                # A folder without __init__.py may hold anything: it counts only where no module has its name.
                spec = None if _is_library(top) else spec
            self._own[top] = spec is not None
        return self._own[top]


def _is_library(top: str) -> bool:
    spec = PathFinder.find_spec(top)
    return spec is not None and spec.origin is not None


def import_file(path: Path) -> tuple[ModelPackage, ModuleType]:
    """Import a file as a module of its own, with those beside it.

    Raises
    ------
    ConfigError
        If it cannot be imported.
    """
    package = ModelPackage([path.absolute().parent], {})
    try:
        with package.loading():
            return package, package.load(path.stem)
    except BaseException as error:  # anybody's code
        package.close()
        if is_interrupt(error):
            raise
        text = str(error) if isinstance(error, SonicError) else one_line(error)
        raise ConfigError(f"cannot import {path}: {text}") from error


class _Loader(SourceFileLoader):
    def __init__(self, name: str, path: str, package: ModelPackage) -> None:
        super().__init__(name, path)
        self._package = package

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__builtins__"] = self._package.builtins
        super().exec_module(module)


class _BareLoader(Loader):
    def __init__(self, package: ModelPackage) -> None:
        self._package = package

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave it to the machinery, which takes what it finds among the modules in the end."""

    def exec_module(self, module: ModuleType) -> None:
        self._package.enter(module.__name__)


class _Finder:
    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if _loading.package is not None and not fullname.startswith(_PREFIX):
            return _loading.package.bare(fullname)
        package = _packages.get(fullname.partition(".")[0])
        if package is None or path is None:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path, package)
        return spec


_FINDER: Any = _Finder()
