"""gRPC's server reflection, over the descriptors of the protocol: what ``grpcurl`` and the like ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sonic.errors import InvalidRequest
from sonic.protocol.grpc_codec import parse
from sonic.protocol.proto import reflection_pb2 as pb
from sonic.protocol.proto.pool import POOL
from sonic.server.grpc.admission import Admission

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.descriptor import FileDescriptor

    from sonic.server.access.guard import Guard
    from sonic.server.grpc.call import Call
    from sonic.server.grpc.wire import Message

SERVICES = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
"""Both have the same messages; tools ask for the one or the other."""

_MAX_QUEUED_BYTES = 1 << 20
"""Of answers that a client has yet to take, each of which may be five hundred times as long as its question."""
_NOT_FOUND = 5
_INVALID_ARGUMENT = 3


class Reflection(Admission):
    """Handler of a stream of questions about the services that are offered."""

    streams = True

    def __init__(self, services: Iterable[str], guard: Guard | None) -> None:
        super().__init__(guard)
        self._services = tuple(services)

    def message(self, call: Call, message: Message) -> None:
        """Answer a question, unless too many answers wait to be taken."""
        if call.queued_bytes > _MAX_QUEUED_BYTES:
            raise InvalidRequest("too much is asked before the answers are read")
        call.send((answer(parse(pb.ServerReflectionRequest, message.content()), self._services).SerializeToString(),))

    def ended(self, call: Call) -> None:
        """End the call: every question has its answer."""
        call.finish()


def answer(request: pb.ServerReflectionRequest, services: Iterable[str]) -> pb.ServerReflectionResponse:
    """Answer one question; one that has no answer is answered with an error."""
    response = pb.ServerReflectionResponse(valid_host=request.host, original_request=request)
    kind = request.WhichOneof("message_request")
    try:
        if kind == "list_services":
            for name in sorted(services):
                response.list_services_response.service.add(name=name)
        elif kind == "file_by_filename":
            _put(response, POOL.FindFileByName(request.file_by_filename))
        elif kind == "file_containing_symbol":
            _put(response, _containing(request.file_containing_symbol))
        elif kind in ("file_containing_extension", "all_extension_numbers_of_type"):
            # The protocol is written in proto3, which has no extensions.
            raise KeyError("there are no extensions")
        else:
            response.error_response.error_code = _INVALID_ARGUMENT
            response.error_response.error_message = "the request asks for nothing"
    except KeyError as error:
        response.error_response.error_code = _NOT_FOUND
        response.error_response.error_message = str(error.args[0])
    return response


def _containing(symbol: str) -> FileDescriptor:
    if symbol == SERVICES[1]:  # which has no descriptor of its own
        symbol = SERVICES[0]
    return POOL.FindFileContainingSymbol(symbol)


def _put(response: pb.ServerReflectionResponse, file: FileDescriptor) -> None:
    files = [file]
    for known in files:  # grows while it is gone through
        files += [wanted for wanted in known.dependencies if wanted not in files]
    response.file_descriptor_response.file_descriptor_proto.extend(known.serialized_pb for known in files)
