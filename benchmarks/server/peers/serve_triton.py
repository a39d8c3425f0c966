"""The real Triton that PyTriton's package carries, with its Python backend, over gRPC and HTTP.

PyTriton itself would put a process of its own between Triton and the model; here Triton runs the model directly.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pytriton.utils.distribution import get_libs_path, get_root_module_path, get_stub_path
from served import options

if TYPE_CHECKING:
    from served import Served, Tensor

_HERE = Path(__file__).resolve().parent


def main() -> None:
    """Become Triton, which serves until SIGTERM."""
    given = options()
    folder = Path(tempfile.mkdtemp(prefix="triton-", dir=given.folder))
    repository = folder / "models"
    for model, told in zip(given.load(), given.models, strict=True):
        _write(model, told, repository / model.name)
    triton = get_root_module_path() / "tritonserver"
    shutil.copytree(triton / "backends", folder / "backends")
    shutil.copy(get_stub_path(f"{sys.version_info.major}.{sys.version_info.minor}"), folder / "backends" / "python")
    command = [
        str(triton / "bin" / "tritonserver"),
        f"--model-repository={repository}",
        f"--backend-directory={folder / 'backends'}",
        f"--http-port={given.http_port}",
        f"--grpc-port={given.grpc_port}",
        "--allow-metrics=false",
    ]
    # The backend's own interpreter finds its packages beside the first python of PATH.
    path = f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}"
    os.execve(command[0], command, {**os.environ, "LD_LIBRARY_PATH": str(get_libs_path()), "PATH": path})


def _write(model: Served, told: dict[str, object], folder: Path) -> None:
    skip = int(model.max_batch_size > 0)
    lines = [f'name: "{model.name}"', 'backend: "python"', f"max_batch_size: {model.max_batch_size}"]
    lines += [_tensor("input", tensor, skip) for tensor in model.inputs]
    lines += [_tensor("output", tensor, skip) for tensor in model.outputs]
    lines += ["instance_group { kind: KIND_CPU count: 1 }"]
    lines += ["dynamic_batching { }"] if model.batched else []
    lines += [f'parameters {{ key: "served" value {{ string_value: {json.dumps(json.dumps(told))} }} }}']
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text("\n".join(lines))
    shutil.copy(_HERE / "triton_model.py", folder / "1" / "model.py")
    shutil.copy(_HERE / "served.py", folder / "1")


def _tensor(kind: str, tensor: Tensor, skip: int) -> str:
    dims = ", ".join(map(str, tensor.shape[skip:]))
    return f'{kind} {{ name: "{tensor.name}" data_type: TYPE_FP32 dims: [ {dims} ] }}'


if __name__ == "__main__":
    main()
