"""Import a model.py and the files beside it so that several models in one process do not see each other's.

Triton starts a process for each model, where ``import helper`` finds the helper.py beside model.py. Here every model
is a package of its own, with a name that no other has, and its modules get an ``import`` that looks into their folder
first. What is imported from elsewhere (numpy, torch ...) is shared. No bytecode is written: folders of models are only
read.
"""

from __future__ import annotations

import builtins
import importlib
import itertools
import sys
from importlib.machinery import PathFinder, SourceFileLoader
from types import ModuleType
from typing import TYPE_CHECKING, Any

from sonic.errors import ConfigError, SonicError, one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from importlib.machinery import ModuleSpec
    from pathlib import Path
    from types import CodeType

_PREFIX = "_sonic_model_"
_serial = itertools.count()
_packages: dict[str, ModelPackage] = {}


class ModelPackage:
    """The modules of one model.

    Parameters
    ----------
    folder : Path
        Where its files are.
    provided : mapping of str to module
        What its modules import by these names, wherever else there may be one.
    """

    def __init__(self, folder: Path, provided: Mapping[str, ModuleType]) -> None:
        self.name = f"{_PREFIX}{next(_serial)}"
        self.folder = str(folder)
        self._provided = provided
        self._own: dict[str, bool] = {}
        self.builtins = {**vars(builtins), "__import__": self._import}
        package = ModuleType(self.name)
        package.__path__ = [self.folder]
        _packages[self.name] = self
        sys.modules[self.name] = package
        if _FINDER not in sys.meta_path:
            sys.meta_path.insert(0, _FINDER)

    def load(self, module: str) -> ModuleType:
        """Import one of the files, given by its name without the suffix."""
        return importlib.import_module(f"{self.name}.{module}")

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
                module = importlib.import_module(f"{self.name}.{name}")
                if not fromlist:
                    return sys.modules[f"{self.name}.{top}"]
                return builtins.__import__(module.__name__, globals, locals, fromlist, 0)
        return builtins.__import__(name, globals, locals, fromlist or (), level)

    def _owns(self, top: str) -> bool:
        if top not in self._own:
            spec = PathFinder.find_spec(top, [self.folder])
            if spec is not None and spec.origin is None:
                # A folder without __init__.py may hold anything: it counts only where no module has its name.
                other = PathFinder.find_spec(top)
                spec = spec if other is None or other.origin is None else None
            self._own[top] = spec is not None
        return self._own[top]


def import_file(path: Path) -> tuple[ModelPackage, ModuleType]:
    """Import a file as a module of its own, with those beside it.

    Raises
    ------
    ConfigError
        If it cannot be imported.
    """
    package = ModelPackage(path.absolute().parent, {})
    try:
        return package, package.load(path.stem)
    except (Exception, SystemExit) as error:  # anybody's code
        package.close()
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


class _Finder:
    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package = _packages.get(fullname.partition(".")[0])
        if package is None or path is None:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path, package)
        return spec


_FINDER: Any = _Finder()
