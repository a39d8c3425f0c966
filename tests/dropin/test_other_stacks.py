"""gRPC of other makes, unmodified: node's ``@grpc/grpc-js`` where node finds it (NODE_PATH), and Python's grpclib."""

from __future__ import annotations

import asyncio
import base64
import functools
import json
import shutil
import subprocess
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable

SERVICE = "/inference.GRPCInferenceService"
OK, INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND, UNIMPLEMENTED = 0, 3, 4, 5, 12


class Call(NamedTuple):
    """A call: some messages, more than one of a stream alone, and what goes with them."""

    path: str
    messages: list[bytes]
    stream: bool = False
    timeout_s: float = 60.0
    metadata: dict[str, str] = {}  # noqa: RUF012 - nobody changes it


class Ended(NamedTuple):
    """How it ended."""

    code: int
    details: str
    messages: list[bytes]


_NODE = """
const grpc = require("@grpc/grpc-js");
const limits = { "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 };
const client = new grpc.Client(process.argv[1], grpc.credentials.createInsecure(), limits);
const same = (bytes) => bytes;

function made({ path, messages, stream, timeout_s, metadata }) {
  return new Promise((resolve) => {
    const found = [];
    const sent = messages.map((text) => Buffer.from(text, "base64"));
    const also = new grpc.Metadata();
    for (const name in metadata) also.set(name, metadata[name]);
    const options = { deadline: Date.now() + 1000 * timeout_s };
    const took = (error, answer) => answer && found.push(answer);
    const call = stream
      ? client.makeBidiStreamRequest(path, same, same, also, options)
      : client.makeUnaryRequest(path, same, same, sent[0], also, options, took);
    if (stream) {
      call.on("data", (answer) => found.push(answer));
      sent.forEach((message) => call.write(message));
      call.end();
    }
    call.on("error", () => {});
    call.on("status", ({ code, details }) =>
      setImmediate(() => resolve([code, details, found.map((bytes) => bytes.toString("base64"))])));
  });
}

Promise.all(JSON.parse(require("fs").readFileSync(0)).map(made)).then((ended) => {
  console.log(JSON.stringify(ended));
  client.close();
});
"""


@functools.cache
def _has_node() -> bool:
    if shutil.which("node") is None:
        return False
    asked = ["node", "-e", "require('@grpc/grpc-js')"]
    return subprocess.run(asked, capture_output=True, timeout=60, check=False).returncode == 0


def by_node(target: str, calls: list[Call]) -> list[Ended]:
    """Make all calls at once, on one connection."""
    if not _has_node():
        pytest.skip("there is no node with @grpc/grpc-js")
    written = [
        {**call._asdict(), "messages": [base64.b64encode(message).decode() for message in call.messages]}
        for call in calls
    ]
    done = subprocess.run(
        ["node", "-e", _NODE, target],
        input=json.dumps(written),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [
        Ended(code, details, [base64.b64decode(text) for text in messages])
        for code, details, messages in json.loads(done.stdout)
    ]


def by_grpclib(target: str, calls: list[Call]) -> list[Ended]:
    """Make all calls at once, on one connection."""
    if find_spec("grpclib") is None:
        pytest.skip("grpclib is not installed")
    from grpclib.client import Channel
    from grpclib.const import Cardinality
    from grpclib.encoding.base import CodecBase
    from grpclib.exceptions import GRPCError

    class Same(CodecBase):
        __content_subtype__ = "proto"

        def encode(self, message: bytes, message_type: object) -> bytes:
            return message

        def decode(self, data: bytes, message_type: object) -> bytes:
            return data

    async def made(channel: Any, call: Call) -> Ended:
        kind = Cardinality.STREAM_STREAM if call.stream else Cardinality.UNARY_UNARY
        found: list[bytes] = []
        try:
            async with channel.request(
                call.path, kind, bytes, bytes, timeout=call.timeout_s, metadata=call.metadata
            ) as stream:
                for message in call.messages:
                    await stream.send_message(message)
                await stream.end()
                while (answer := await stream.recv_message()) is not None:
                    found.append(answer)
        except GRPCError as error:
            return Ended(error.status.value, error.message or "", found)
        except TimeoutError:
            return Ended(DEADLINE_EXCEEDED, "", found)
        return Ended(OK, "", found)

    async def all_made() -> list[Ended]:
        host, _, port = target.rpartition(":")
        channel = Channel(host, int(port), codec=Same())
        try:
            return await asyncio.gather(*(made(channel, call) for call in calls))
        finally:
            channel.close()

    return asyncio.run(all_made())


@pytest.fixture(params=[by_node, by_grpclib])
def make(request: pytest.FixtureRequest, server: Any) -> Callable[..., list[Ended]]:
    """Make calls by each stack in turn."""
    target = server("open")[0].grpc_url.partition("//")[2]
    return lambda *calls: request.param(target, calls)


def texts(*rows: bytes, model: str = "simple_identity") -> bytes:
    """Write a request that is sent back."""
    request = pb.ModelInferRequest(model_name=model, id="7")
    request.inputs.add(name="INPUT0", datatype="BYTES", shape=[1, len(rows)])
    request.raw_input_contents.append(b"".join(len(row).to_bytes(4, "little") + row for row in rows))
    content: bytes = request.SerializeToString()
    return content


def raw_of(answer: bytes) -> bytes:
    content: bytes = pb.ModelInferResponse.FromString(answer).raw_output_contents[0]
    return content


def test_calls_of_every_size_beside_each_other(make: Any) -> None:
    bodies = [b"x" * size for size in (0, 1, 70_000, 1 << 20, 20 << 20)] * 2
    ended = make(*[Call(f"{SERVICE}/ModelInfer", [texts(body)]) for body in bodies])
    assert [(end.code, raw_of(end.messages[0])[4:] == body) for end, body in zip(ended, bodies, strict=True)] == [
        (OK, True)
    ] * len(bodies)


def test_a_stream(make: Any) -> None:
    bodies = [np.full(50_000, number, np.uint8).tobytes() for number in range(40)]
    (ended,) = make(Call(f"{SERVICE}/ModelStreamInfer", [texts(body) for body in bodies], stream=True))
    answers = [pb.ModelStreamInferResponse.FromString(message).infer_response for message in ended.messages]
    assert (ended.code, [answer.raw_output_contents[0][4:] for answer in answers]) == (OK, bodies)


def test_what_goes_wrong_ends_the_call_and_no_other(make: Any) -> None:
    infer = f"{SERVICE}/ModelInfer"
    *failed, good = make(
        Call(infer, [texts(b"a", model="µ-model")]),
        Call(f"{SERVICE}/Nope", [b""]),
        Call("/no.such.Service/Nope", [b"x" * (1 << 20)]),
        Call(infer, [texts(b"a")], timeout_s=0.0),
        Call(infer, [texts(b"a")], metadata={"large": "x" * 100_000}),
        Call(infer, [texts(b"a")], metadata={"x-some": "text", "other": "y" * 20_000}),
    )
    codes = [ended.code for ended in failed]
    assert codes == [NOT_FOUND, UNIMPLEMENTED, UNIMPLEMENTED, DEADLINE_EXCEEDED, INVALID_ARGUMENT]
    assert "µ-model" in failed[0].details
    assert (good.code, raw_of(good.messages[0])) == (OK, b"\1\0\0\0a")
