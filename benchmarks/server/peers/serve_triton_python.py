"""Triton with its Python backend.

PyTriton itself would put a process of its own between Triton and the model; here Triton runs the model directly.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from pytriton.utils.distribution import get_stub_path
from served import options
from triton_server import TRITON, TritonServer

_HERE = Path(__file__).resolve().parent


def main() -> None:
    """Become Triton, which serves until SIGTERM."""
    given = options()
    server = TritonServer(given)
    shutil.copytree(TRITON / "backends" / "python", server.backends / "python")
    shutil.copy(get_stub_path(f"{sys.version_info.major}.{sys.version_info.minor}"), server.backends / "python")
    for model, told in zip(given.load(), given.models, strict=True):
        value = json.dumps(json.dumps(told))
        folder = server.add(model, "python", f'parameters {{ key: "served" value {{ string_value: {value} }} }}')
        shutil.copy(_HERE / "triton_python_model.py", folder / "model.py")
        shutil.copy(_HERE / "served.py", folder)
    server.become()


if __name__ == "__main__":
    main()
