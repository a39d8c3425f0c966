"""The build of a wheel whose hot modules are compiled, by mypyc, from the same source.

``HATCH_BUILD_HOOK_ENABLE_CUSTOM=1`` asks for it; without, a wheel is pure Python. An editable install never is
compiled: compiled modules would stand before their source, and outlive its changes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# Other packages are not there during a build, and what comes from them is an object anyway.
_MYPY = "[mypy]\nignore_missing_imports = True\nfollow_imports = silent\n"


class CompiledBuild(BuildHookInterface[Any]):
    """Compiles the modules that pyproject.toml names, in a copy of the source."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and have the results put beside the source in the wheel."""
        if version == "editable":
            return
        self._folder = Path(mkdtemp(prefix="sonic-build-"))
        shutil.copytree(Path(self.root, "src", "sonic"), self._folder / "sonic")
        (self._folder / "mypy.ini").write_text(_MYPY)
        done = subprocess.run(
            [sys.executable, "-m", "mypyc", "--config-file", "mypy.ini", *self.config["modules"]],
            cwd=self._folder,
            env=os.environ | {"MYPYC_DEBUG_LEVEL": "0"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            shutil.rmtree(self._folder)
            raise RuntimeError(f"mypyc failed:\n{done.stdout}\n{done.stderr}")
        shutil.rmtree(self._folder / "build")
        for compiled in self._folder.rglob("*.so"):
            build_data["force_include"][str(compiled)] = str(compiled.relative_to(self._folder))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Remove the copy, which is in the wheel now."""
        if version != "editable":
            shutil.rmtree(self._folder)
