from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from google.protobuf import descriptor_pb2

from sonic.protocol.proto import grpc_service_pb2, health_pb2, model_config_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor import FileDescriptor

ROOT = Path(__file__).resolve().parents[2]


def entries(file: FileDescriptor) -> set[tuple[str, ...]]:
    """Everything of a file that is wire format: fields, enum values and rpcs."""
    proto = descriptor_pb2.FileDescriptorProto()
    file.CopyToProto(proto)

    def enum(prefix: str, e: descriptor_pb2.EnumDescriptorProto) -> Iterator[tuple[str, ...]]:
        for value in e.value:
            yield f"{prefix}.{e.name}", value.name, str(value.number)

    def message(prefix: str, m: descriptor_pb2.DescriptorProto) -> Iterator[tuple[str, ...]]:
        name = f"{prefix}.{m.name}"
        yield (name,)
        for f in m.field:
            oneof = m.oneof_decl[f.oneof_index].name if f.HasField("oneof_index") else ""
            yield name, f.name, str(f.number), str(f.type), f.type_name, str(f.label), oneof
        for e in m.enum_type:
            yield from enum(name, e)
        for nested in m.nested_type:
            yield from message(name, nested)

    found: set[tuple[str, ...]] = set()
    for m in proto.message_type:
        found.update(message(proto.package, m))
    for e in proto.enum_type:
        found.update(enum(proto.package, e))
    for service in proto.service:
        for rpc in service.method:
            streams = (str(rpc.client_streaming), str(rpc.server_streaming))
            found.add((service.name, rpc.name, rpc.input_type, rpc.output_type, *streams))
    return found


@pytest.mark.parametrize("ours", [grpc_service_pb2, model_config_pb2], ids=["grpc_service", "model_config"])
def test_wire_format_is_the_published_one(ours) -> None:
    published = pytest.importorskip("tritonclient.grpc")
    theirs = {grpc_service_pb2: published.service_pb2, model_config_pb2: published.model_config_pb2}[ours]
    assert entries(theirs.DESCRIPTOR) == entries(ours.DESCRIPTOR)


def test_health_wire_format() -> None:
    assert health_pb2.HealthCheckRequest(service="a").SerializeToString() == b"\x0a\x01a"
    serving = health_pb2.HealthCheckResponse.ServingStatus.SERVING
    assert health_pb2.HealthCheckResponse(status=serving).SerializeToString() == b"\x08\x01"


BOTH = """
{imports}
theirs = tritonclient.grpc.service_pb2.ModelInferRequest(model_name="m")
ours = grpc_service_pb2.ModelInferRequest(model_name="m")
assert type(theirs) is not type(ours)
assert theirs.SerializeToString() == ours.SerializeToString()
print("both")
"""
IMPORTS = (
    "import sonic.client.grpc\nfrom sonic.protocol.proto import grpc_service_pb2, health_pb2",
    "import tritonclient.grpc",
)


@pytest.mark.parametrize("order", [IMPORTS, IMPORTS[::-1]], ids=["sonic first", "tritonclient first"])
def test_lives_in_one_process_with_tritonclient(order: tuple[str, str]) -> None:
    if importlib.util.find_spec("tritonclient") is None:
        pytest.skip("tritonclient is not installed")
    program = BOTH.format(imports="\n".join(order))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "both\n", done.stderr


def test_generated_code_is_up_to_date(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools")
    tool = ROOT / "tools" / "generate_proto.py"
    if not tool.exists():
        pytest.skip("not in a checkout")
    spec = importlib.util.spec_from_file_location("generate_proto", tool)
    assert spec is not None
    assert spec.loader is not None
    generate_proto = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate_proto)
    generate_proto.generate(tmp_path)
    folder = Path("sonic/protocol/proto")
    made = sorted(path.name for path in (tmp_path / folder).iterdir())
    assert made == sorted(path.name for path in (ROOT / "src" / folder).glob("*_pb2*.py*"))
    for name in made:
        assert (tmp_path / folder / name).read_text() == (ROOT / "src" / folder / name).read_text(), name
