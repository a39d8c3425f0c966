"""What is said of servers and models <-> the messages of protobuf, which gRPC sends and HTTP writes as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sonic.protocol.messages import BatchStatistics, Duration, ModelStatistics, ModelStatus, ServerInfo
from sonic.protocol.modelfolder import number
from sonic.protocol.proto import grpc_service_pb2 as pb
from sonic.specs import DType, ModelSpec, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sonic.protocol.proto import model_config_pb2

_COMPUTE_PARTS = ("compute_input", "compute_infer", "compute_output")
_REQUEST_PARTS = ("success", "fail", "queue", *_COMPUTE_PARTS, "cache_hit", "cache_miss")


def server_info_to_wire(info: ServerInfo) -> pb.ServerMetadataResponse:
    """Write what a server says of itself."""
    return pb.ServerMetadataResponse(name=info.name, version=info.version, extensions=info.extensions)


def server_info_from_wire(message: pb.ServerMetadataResponse) -> ServerInfo:
    """Read what a server says of itself."""
    return ServerInfo(message.name, message.version, tuple(message.extensions))


def spec_to_wire(spec: ModelSpec, versions: Sequence[str] = ()) -> pb.ModelMetadataResponse:
    """Write a model's metadata, with every version that is served."""
    message = pb.ModelMetadataResponse(
        name=spec.name, versions=list(versions) or [spec.version], platform=spec.platform
    )
    for target, half in ((message.inputs, spec.inputs), (message.outputs, spec.outputs)):
        for tensor in half:
            target.add(name=tensor.name, datatype=tensor.dtype.name, shape=tensor.shape)
    return message


def spec_from_wire(
    metadata: pb.ModelMetadataResponse, config: model_config_pb2.ModelConfig, version: str = ""
) -> ModelSpec:
    """Read a model's metadata; the configuration adds the largest batch and which inputs are optional.

    An empty version is the highest that there is, which is the server's choice as well.

    Raises
    ------
    InvalidRequest
        If a datatype is not of the protocol.
    """
    optional = {tensor.name for tensor in config.input if tensor.optional}
    return ModelSpec(
        name=metadata.name,
        version=version or max(metadata.versions, key=number, default=""),
        inputs=tuple(
            TensorSpec(t.name, DType.from_wire(t.datatype), tuple(t.shape), t.name in optional) for t in metadata.inputs
        ),
        outputs=tuple(TensorSpec(t.name, DType.from_wire(t.datatype), tuple(t.shape)) for t in metadata.outputs),
        max_batch_size=config.max_batch_size,
        platform=metadata.platform,
    )


def statistics_to_wire(rows: Iterable[ModelStatistics]) -> pb.ModelStatisticsResponse:
    """Write the counters of models."""
    message = pb.ModelStatisticsResponse()
    for row in rows:
        target = message.model_stats.add(
            name=row.name,
            version=row.version,
            last_inference=row.last_inference_ms,
            inference_count=row.inference_count,
            execution_count=row.execution_count,
        )
        _put_durations(target.inference_stats, row, _REQUEST_PARTS)
        for batch in row.batches:
            _put_durations(target.batch_stats.add(batch_size=batch.batch_size), batch, _COMPUTE_PARTS)
    return message


def statistics_from_wire(message: pb.ModelStatisticsResponse) -> tuple[ModelStatistics, ...]:
    """Read the counters of models."""
    return tuple(
        ModelStatistics(
            name=row.name,
            version=row.version,
            inference_count=row.inference_count,
            execution_count=row.execution_count,
            last_inference_ms=row.last_inference,
            batches=tuple(
                BatchStatistics(batch.batch_size, **_durations(batch, _COMPUTE_PARTS)) for batch in row.batch_stats
            ),
            **_durations(row.inference_stats, _REQUEST_PARTS),
        )
        for row in message.model_stats
    )


def index_to_wire(rows: Iterable[ModelStatus]) -> pb.RepositoryIndexResponse:
    """Write the repository index."""
    message = pb.RepositoryIndexResponse()
    for row in rows:
        message.models.add(name=row.name, version=row.version, state=row.state, reason=row.reason)
    return message


def index_from_wire(message: pb.RepositoryIndexResponse) -> tuple[ModelStatus, ...]:
    """Read the repository index."""
    return tuple(ModelStatus(row.name, row.version, row.state, row.reason) for row in message.models)


def _put_durations(target: Any, source: ModelStatistics | BatchStatistics, names: Iterable[str]) -> None:
    for name in names:
        duration: Duration = getattr(source, name)
        part = getattr(target, name)
        part.count, part.ns = duration.count, duration.total_ns


def _durations(source: Any, names: Iterable[str]) -> dict[str, Duration]:
    return {name: Duration(getattr(source, name).count, getattr(source, name).ns) for name in names}
