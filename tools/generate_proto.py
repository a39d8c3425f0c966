"""Generate the Python code of the protocol's .proto files. Needs grpcio-tools: ``make proto``."""

from __future__ import annotations

import re
import sys
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

SOURCE = Path(__file__).resolve().parents[1] / "src"
FOLDER = SOURCE / "sonic" / "protocol" / "proto"
SERVICES = {"grpc_service.proto", "health.proto"}


def generate(target: Path) -> None:
    """Write ``*_pb2.py``, ``*_pb2.pyi`` and ``*_pb2_grpc.py`` below `target`, a folder laid out as ``src``."""
    for proto in sorted(FOLDER.glob("*.proto")):
        arguments = ["protoc", f"-I{SOURCE}", f"-I{files('grpc_tools') / '_proto'}", f"--python_out={target}"]
        arguments.append(f"--pyi_out={target}")
        if proto.name in SERVICES:
            arguments.append(f"--grpc_python_out={target}")
        if protoc.main([*arguments, str(proto.relative_to(SOURCE))]) != 0:
            sys.exit(f"protoc failed on {proto.name}")
    for module in (target / FOLDER.relative_to(SOURCE)).glob("*_pb2.py"):
        _use_own_pool(module)


def _use_own_pool(module: Path) -> None:
    text = module.read_text()
    text, imports = re.subn(
        r"^from google\.protobuf import descriptor_pool as _descriptor_pool$",
        "from sonic.protocol.proto.pool import POOL as _POOL",
        text,
        flags=re.MULTILINE,
    )
    text, uses = re.subn(r"_descriptor_pool\.Default\(\)", "_POOL", text)
    if (imports, uses) != (1, 1):
        sys.exit(f"{module.name}: protoc writes its use of the descriptor pool in another way than this expects")
    module.write_text(text)


if __name__ == "__main__":
    generate(SOURCE)
