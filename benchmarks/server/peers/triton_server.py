"""The real Triton that PyTriton's package carries, over gRPC and HTTP, without PyTriton around it."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pytriton.utils.distribution import get_libs_path, get_root_module_path

if TYPE_CHECKING:
    from typing import NoReturn

    from served import Options, Served, Tensor

TRITON = get_root_module_path() / "tritonserver"


class TritonServer:
    """A folder of models and a folder of backends, which Triton is to serve.

    Parameters
    ----------
    given : Options
        Ports, and where the folders go.
    """

    def __init__(self, given: Options) -> None:
        self._given = given
        folder = Path(tempfile.mkdtemp(prefix="triton-", dir=given.folder))
        self.backends, self._repository = folder / "backends", folder / "models"
        self.backends.mkdir()

    def add(self, model: Served, backend: str, rest: str = "") -> Path:
        """Write a model's configuration; return the folder that its backend's files go to."""
        skip = int(model.max_batch_size > 0)
        lines = [f'name: "{model.name}"', f'backend: "{backend}"', f"max_batch_size: {model.max_batch_size}"]
        lines += [_tensor("input", tensor, skip) for tensor in model.inputs]
        lines += [_tensor("output", tensor, skip) for tensor in model.outputs]
        lines += ["instance_group { kind: KIND_CPU count: 1 }"]
        lines += [model.batching]
        folder = self._repository / model.name
        (folder / "1").mkdir(parents=True)
        (folder / "config.pbtxt").write_text("\n".join([*lines, rest]))
        return folder / "1"

    def become(self) -> NoReturn:
        """Become Triton, which serves until SIGTERM."""
        command = [
            str(TRITON / "bin" / "tritonserver"),
            f"--model-repository={self._repository}",
            f"--backend-directory={self.backends}",
            f"--http-port={self._given.http_port}",
            f"--grpc-port={self._given.grpc_port}",
            "--allow-metrics=false",
        ]
        # The Python backend's own interpreter finds its packages beside the first python of PATH.
        path = f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}"
        os.execve(command[0], command, {**os.environ, "LD_LIBRARY_PATH": str(get_libs_path()), "PATH": path})


def _tensor(kind: str, tensor: Tensor, skip: int) -> str:
    dims = ", ".join(map(str, tensor.shape[skip:]))
    return f'{kind} {{ name: "{tensor.name}" data_type: TYPE_FP32 dims: [ {dims} ] }}'
