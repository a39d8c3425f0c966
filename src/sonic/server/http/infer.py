"""The one route that has to be quick: a model's inference.

Models that are known to be quick are executed in the event loop itself (:mod:`sonic.server.scheduling.scheduler`).
Otherwise the response is written as bytes by the thread that made it. What is compressed, or has many numbers or texts
in it that are gone through one by one, is read and written in other threads.

Bodies may be compressed with gzip or deflate. A response is compressed if the request accepts exactly one of the two
and nothing else, which says that it wants that; clients that merely list what they could read get it as it is.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from sonic.errors import InvalidRequest, shown
from sonic.protocol import http_codec
from sonic.protocol.repeats import LENGTHY_BYTES
from sonic.server.decompression import WINDOW_BITS
from sonic.server.http.answer import JSON, Answer
from sonic.server.http.compression import compress, plain
from sonic.server.http.exchange import explained
from sonic.server.sharedmemory import PeerRegions

if TYPE_CHECKING:
    from concurrent.futures import Future

    from sonic.protocol.form import Form
    from sonic.protocol.jsoncache import JsonCodec
    from sonic.protocol.messages import InferRequest, InferResponse
    from sonic.protocol.tensors import Buffer
    from sonic.server.dataplane import Dataplane
    from sonic.server.http.exchange import Exchange
    from sonic.server.http.head import Head

_LENGTH = http_codec.HEADER_LENGTH.lower().encode()
_BINARY = f"Content-Type: application/octet-stream\r\n{http_codec.HEADER_LENGTH}: %d\r\n".encode()


class Inference:
    """Answers infer requests that have one head.

    Parameters
    ----------
    dataplane : Dataplane
    head : Head
    model, version : str
    codec : JsonCodec
        Shared by all connections.
    max_body_bytes : int
        Of a request, decompressed.
    """

    __slots__ = (
        "_accepted",
        "_dataplane",
        "_header_length",
        "_lengthy",
        "_model",
        "_plain",
        "_read_body",
        "_version",
        "_write",
        "max_body_bytes",
        "prefix",
    )

    def __init__(
        self, dataplane: Dataplane, head: Head, model: str, version: str, codec: JsonCodec, max_body_bytes: int
    ) -> None:
        self._dataplane = dataplane
        self._read_body, self._lengthy, self._write = codec.read, codec.read.lengthy, codec.write
        self._model = model
        self._version = version
        self.max_body_bytes = max_body_bytes
        length = head.get(_LENGTH)
        whole = length.isascii() and length.isdecimal() and len(length) < 20
        self._header_length: int | str | None = int(length) if whole else length or None
        self._plain = head.get(b"content-encoding").lower() in ("", "identity")
        accepted = head.get(b"accept-encoding").lower()
        self._accepted = accepted if accepted in WINDOW_BITS else ""
        self.prefix = self._header_length if self._plain and isinstance(self._header_length, int) else 0

    def serve(self, exchange: Exchange) -> None:
        """Answer a request."""
        body = exchange.body
        large = len(body) >= LENGTHY_BYTES
        if not self._plain or self._accepted or (large and self._takes_long(body)):
            exchange.run(self._aside)
            return
        request, form = self._read(body, exchange.peer)
        # What is long in JSON is written by a thread that executes models.
        elsewhere = large and not _all_binary(request, form)
        future = self._dataplane.infer(request, inline=False if elsewhere else exchange.call_soon)
        if future.done():
            exchange.answer(_answer(*self._write(future.result(), form)))
        else:
            exchange.future = future
            future.add_done_callback(partial(self._ended, exchange, form))

    async def _aside(self, exchange: Exchange) -> Answer:
        """Answer one that would hold up others, if it was read and written here."""
        request, form = await asyncio.to_thread(self._unpack, exchange.head, exchange.body, exchange.peer)
        response = await asyncio.wrap_future(self._dataplane.infer(request, inline=False))
        return await asyncio.to_thread(self._pack, response, form)

    def _takes_long(self, body: Buffer) -> bool:
        return not isinstance(self._header_length, str) and self._lengthy(body, self._header_length)

    def _unpack(self, head: Head, body: Buffer, peer: str) -> tuple[InferRequest, Form]:
        return self._read(plain(head, body, self.max_body_bytes), peer)

    def _pack(self, response: InferResponse, form: Form) -> Answer:
        parts, header_length = self._write(response, form)
        answer = _answer(parts, header_length)
        if self._accepted:
            answer.parts = [compress(parts, self._accepted)]
            answer.fields += f"Content-Encoding: {self._accepted}\r\n".encode()
        return answer

    def _read(self, body: Buffer, peer: str) -> tuple[InferRequest, Form]:
        if isinstance(self._header_length, str):
            raise InvalidRequest(f"a header that counts bytes is a whole number, given {shown(self._header_length)}")
        if self._header_length == 0:
            spec = self._dataplane.model_spec(self._model, self._version)
            return http_codec.raw_request_from_wire(body, spec, self._version)
        regions = PeerRegions(self._dataplane.memory, peer)
        return self._read_body(body, self._header_length, self._model, self._version, regions)

    def _ended(self, exchange: Exchange, form: Form, future: Future[InferResponse]) -> None:
        """Write the response in the thread that made it."""
        if future.cancelled() or exchange.future is None:
            return  # the client has gone
        try:
            answer = _answer(*self._write(future.result(), form))
        except Exception as error:  # noqa: BLE001 - each becomes an answer, and what is unknown is logged
            answer = explained(error)
        exchange.answer_promptly(answer)


def _all_binary(request: InferRequest, form: Form) -> bool:
    return all(map(form.is_binary, request.outputs)) if request.outputs else form.binary


def _answer(parts: list[Buffer], header_length: int | None) -> Answer:
    return Answer(200, JSON if header_length is None else _BINARY % header_length, parts)
