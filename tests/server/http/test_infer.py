"""Inference over sockets: what clients are cut off for, and what is left when they go."""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def request(model: str, x: np.ndarray, name: str = "x", *lines: str) -> bytes:
    tensor = {"name": name, "shape": x.shape, "datatype": "FP32", "parameters": {"binary_data_size": x.nbytes}}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    fields = (*lines, f"Inference-Header-Content-Length: {len(head)}", f"Content-Length: {len(head) + x.nbytes}")
    return "\r\n".join([f"POST /v2/models/{model}/infer HTTP/1.1", *fields, "", ""]).encode() + head + x.tobytes()


def answer(stream: Any) -> tuple[int, dict[str, str], bytes]:
    status = int(stream.readline().split()[1])
    fields = {}
    while (line := stream.readline().strip()) != b"":
        name, _, value = line.decode().partition(": ")
        fields[name.lower()] = value
    return status, fields, stream.read(int(fields["content-length"]))


def values(got: tuple[int, dict[str, str], bytes]) -> np.ndarray:
    status, fields, body = got
    assert status == 200, body
    return np.frombuffer(body[int(fields["inference-header-content-length"]) :], np.float32)


@pytest.fixture
def dial() -> Iterator[Callable[[Any], socket.socket]]:
    with ExitStack() as stack:

        def connect(server: Any) -> socket.socket:
            return stack.enter_context(socket.create_connection(("127.0.0.1", server.http_port), timeout=20))

        yield connect


ROW = np.array([[1, 2]], np.float32)


def test_pipelined_in_order_although_the_first_is_slow(folder: Any, serve: Any, script: Any, dial: Any) -> None:
    folder.scripted()
    folder.identity("i", "FP32")
    script.hold()
    client = dial(serve(folder))
    client.sendall(request("scripted", ROW) + request("i", ROW[0], "in0") + request("scripted", 2 * ROW))
    script.wait_started()
    script.release()
    with client.makefile("rb") as stream:
        assert [values(answer(stream)).tolist() for _ in range(3)] == [[2, 4], [1, 2], [4, 8]]


def test_a_client_that_goes_gives_up_what_waits(folder: Any, serve: Any, script: Any, until: Any, dial: Any) -> None:
    folder.scripted()
    server = serve(folder)
    (model,) = server.dataplane.models()
    script.hold()
    runs, waits = dial(server), dial(server)
    runs.sendall(request("scripted", ROW))
    script.wait_started()
    waits.sendall(request("scripted", ROW))
    until(lambda: model.pending == 1)
    waits.close()
    until(lambda: not model.pending)
    runs.close()
    script.release()
    assert server.dataplane.drain(10)
    assert sum(script.batches) == 1  # the one that waited was not executed


@pytest.mark.parametrize("size", [1, 1000, 100_000, 5_000_000])
def test_sizes(size: int, folder: Any, serve: Any, dial: Any) -> None:
    folder.identity("i", "FP32")
    client = dial(serve(folder))
    x = np.random.default_rng(size).random(size, np.float32)
    with client.makefile("rb") as stream:
        for part in (x, -x):
            client.sendall(request("i", part, "in0"))
            np.testing.assert_array_equal(values(answer(stream)), part)


def test_an_answer_that_nobody_reads_holds_up_nobody(folder: Any, serve: Any, dial: Any) -> None:
    folder.identity("i", "FP32")
    server = serve(folder)
    x = np.arange(2_000_000, dtype=np.float32)
    deaf, other = dial(server), dial(server)
    deaf.sendall(request("i", x, "in0"))
    with other.makefile("rb") as stream:
        for _ in range(3):
            other.sendall(request("i", ROW[0], "in0"))
            assert values(answer(stream)).tolist() == [1, 2]
    with deaf.makefile("rb") as stream:
        np.testing.assert_array_equal(values(answer(stream)), x)


def test_a_body_that_is_longer_than_it_says(folder: Any, serve: Any, dial: Any) -> None:
    folder.identity("i", "FP32")
    client = dial(serve(folder))
    client.sendall(request("i", ROW[0], "in0") + b"more than that\r\n\r\n")
    with client.makefile("rb") as stream:
        assert values(answer(stream)).tolist() == [1, 2]
        status, fields, body = answer(stream)
        assert (status, fields["connection"], b"this is no HTTP request" in body) == (400, "close", True)
        assert stream.read() == b""


def test_a_body_that_is_shorter_than_it_says(folder: Any, serve: Any, dial: Any, until: Any) -> None:
    folder.identity("i", "FP32")
    server = serve(folder)
    client, other = dial(server), dial(server)
    client.sendall(request("i", ROW[0], "in0")[:-1])
    client.close()
    other.sendall(request("i", ROW[0], "in0", "Connection: close"))
    with other.makefile("rb") as stream:
        assert values(answer(stream)).tolist() == [1, 2]
        assert stream.read() == b""
    (model,) = server.dataplane.models()
    assert model.statistics().inference_count == 1


def test_a_megabyte_of_head(folder: Any, serve: Any, dial: Any) -> None:
    folder.identity("i", "FP32")
    client = dial(serve(folder))
    client.sendall(b"GET /v2 HTTP/1.1\r\nX: " + b"x" * 1_000_000)
    with client.makefile("rb") as stream:
        status, fields, body = answer(stream)
    assert (status, fields["connection"], b"at most 65536 bytes" in body) == (431, "close", True)


def test_numbers_that_are_none(folder: Any, serve: Any, dial: Any) -> None:
    folder.identity("i", "FP32")
    client = dial(serve(folder))
    for length, text in (
        (b"x", b"is a whole number, given 'x'"),
        (b"9" * 19, b"inference header size should be in range (0, 2), got: 9999"),
        (b"9" * 9999, b"is a whole number"),
    ):
        client.sendall(
            b"POST /v2/models/i/infer HTTP/1.1\r\nInference-Header-Content-Length: %b\r\nContent-Length: 2\r\n\r\n{}"
            % length
        )
        with client.makefile("rb") as stream:
            status, _, body = answer(stream)
        assert (status, text in body) == (400, True), body
