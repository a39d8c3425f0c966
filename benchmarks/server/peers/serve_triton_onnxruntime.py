"""Triton with a backend that runs ONNX files in its own process, as Triton's ONNX Runtime backend does.

That one is in no package that pip installs. The one here is compiled for this run, which takes a few seconds.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import onnxruntime
from served import options
from triton_server import TritonServer

_SOURCE = Path(__file__).resolve().with_name("triton_onnxruntime.cc")


def main() -> None:
    """Become Triton, which serves until SIGTERM."""
    given = options()
    server = TritonServer(given)
    _compile(server.backends / "onnxruntime")
    for model, told in zip(given.load(), given.models, strict=True):
        shutil.copy(str(told["path"]), server.add(model, "onnxruntime") / "model.onnx")
    server.become()


def _compile(folder: Path) -> None:
    """Build the backend with the onnxruntime of this environment, whose library asks to be found by its short name."""
    folder.mkdir()
    (library,) = (Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*")
    (folder / "libonnxruntime.so.1").symlink_to(library)
    command = ["g++", "-std=c++17", "-O2", "-shared", "-fPIC", str(_SOURCE), str(library), "-Wl,-rpath,$ORIGIN"]
    subprocess.run([*command, "-o", str(folder / "libtriton_onnxruntime.so")], check=True)


if __name__ == "__main__":
    main()
