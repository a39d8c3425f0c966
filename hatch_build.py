"""The build of a wheel whose hot modules are compiled, by mypyc, from the same source.

It is the usual one where a C compiler and Python's headers are; elsewhere, or where they fail, the wheel is pure
Python and says so (``pip install -v``). ``HATCH_BUILD_NO_HOOKS=1`` asks for pure Python, and
``HATCH_BUILD_HOOK_ENABLE_CUSTOM=1`` makes it an error not to compile. An editable install never is compiled:
compiled modules would stand before their source, and outlive its changes.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# Other packages are not there during a build, and what comes from them is an object anyway.
_MYPY = "[mypy]\nignore_missing_imports = True\nfollow_imports = silent\n"
_DEMAND = "HATCH_BUILD_HOOK_ENABLE_CUSTOM"


class CompiledBuild(BuildHookInterface[Any]):
    """Compiles the modules that pyproject.toml names, in a copy of the source."""

    _copy: TemporaryDirectory[str] | None = None

    def dependencies(self) -> list[str]:
        """Name what compiles, where anything can be compiled."""
        return [] if _obstacle() else [self.config["compiler"]]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and have the results put beside the source in the wheel."""
        if version == "editable":
            return
        self._copy = TemporaryDirectory(prefix="sonic-build-")
        folder = Path(self._copy.name)
        obstacle = _obstacle() or self._compile(folder)
        if obstacle is None:
            for compiled in folder.rglob("*.so"):
                build_data["force_include"][str(compiled)] = str(compiled.relative_to(folder))
            build_data["pure_python"] = False
            build_data["infer_tag"] = True
        elif _demanded():
            raise RuntimeError(f"cannot compile: {obstacle}")
        else:
            self.app.display_warning(f"pure Python, not compiled: {obstacle}")

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Remove the copy, which is in the wheel now."""
        if self._copy is not None:
            self._copy.cleanup()

    def _compile(self, folder: Path) -> str | None:
        """Compile in `folder`, and say what went wrong, if anything did."""
        shutil.copytree(Path(self.root, "src", "sonic"), folder / "sonic")
        for copied in (folder / "sonic", *(folder / "sonic").rglob("*/")):
            copied.chmod(0o755)  # for what is compiled; the source may be read-only
        (folder / "mypy.ini").write_text(_MYPY)
        done = subprocess.run(
            [sys.executable, "-m", "mypyc", "--config-file", "mypy.ini", *self.config["modules"]],
            cwd=folder,
            env=os.environ | {"MYPYC_DEBUG_LEVEL": "0"},
            capture_output=True,
            text=True,
            check=False,
        )
        shutil.rmtree(folder / "build", ignore_errors=True)
        return f"mypyc failed:\n{done.stdout}\n{done.stderr}" if done.returncode else None


def _obstacle() -> str | None:
    """Say why nothing can be compiled here, if so."""
    if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "mypyc compiles for CPython with its lock alone"
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        return "there are no headers of Python"
    compiler = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    return None if shutil.which(shlex.split(compiler)[0]) else f"there is no C compiler {compiler}"


def _demanded() -> bool:
    return os.environ.get(_DEMAND, "").lower() in {"1", "true"}
