"""ModelInfer.

Requests are decoded in the thread of the event loop, which also executes models that are known to be short; others
run in the threads of their scheduler. What is compressed, or takes long to decode, a pool of threads decodes.

Copies of a request's tensors: one, out of the buffer that the socket is read into; of a response's: none.
"""

from __future__ import annotations

from concurrent.futures import CancelledError
from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace

from sonic.errors import Cancelled
from sonic.protocol.wirecache import RequestReader, ResponseWriter
from sonic.server.grpc.admission import Admission
from sonic.server.sharedmemory import PeerRegions

if TYPE_CHECKING:
    from concurrent.futures import Future

    from sonic.protocol.form import Form
    from sonic.protocol.messages import InferRequest, InferResponse
    from sonic.server.access.guard import Guard
    from sonic.server.dataplane import Dataplane
    from sonic.server.grpc.call import Call
    from sonic.server.grpc.wire import Buffer, Message


class Infer(Admission):
    """Handler of ModelInfer."""

    def __init__(self, dataplane: Dataplane, guard: Guard | None, max_bytes: int) -> None:
        super().__init__(guard, max_bytes)
        self._dataplane = dataplane
        self._reader = RequestReader()
        self._writer = ResponseWriter()

    def message(self, call: Call, message: Message) -> None:
        """Begin a request."""
        data = message.data
        if message.compressed or self._reader.lengthy(data):
            call.aside(self._decode, call, message)
            return
        request, form = self._read(call, data)
        self._follow(call, form, self._dataplane.infer(request, inline=call.call_soon))

    def _decode(self, call: Call, message: Message) -> None:
        if call.over:
            return  # its client did not wait for its turn
        try:
            request, form = self._read(call, message.content())
            future = self._dataplane.infer(request, inline=False)
        except Exception as error:  # noqa: BLE001 - the call ends in it
            call.soon(call.fail, error)
        else:
            call.soon(self._follow, call, form, future)

    def _read(self, call: Call, data: Buffer) -> tuple[InferRequest, Form]:
        request, form = self._reader(data, PeerRegions(self._dataplane.memory, call.peer))
        left_s = call.head.timeout_s  # the call's own deadline counts where it is the earlier one
        if left_s is not None and (request.timeout_s is None or request.timeout_s > left_s):
            request = replace(request, timeout_s=left_s)
        return request, form

    def _follow(self, call: Call, form: Form, future: Future[InferResponse]) -> None:
        if future.done():
            _answer(call, *self._encoded(form, future))
            return
        call.on_gone(future.cancel)
        future.add_done_callback(partial(self._ended, call, form))

    def _ended(self, call: Call, form: Form, future: Future[InferResponse]) -> None:
        # Written in the thread that has executed the model: if it is another, the event loop is free meanwhile.
        call.promptly(_answer, call, *self._encoded(form, future))

    def _encoded(self, form: Form, future: Future[InferResponse]) -> tuple[list[Buffer], BaseException | None]:
        try:
            return self._writer(future.result(), form), None
        except CancelledError:
            return [], Cancelled("the request was cancelled by its client")
        except Exception as error:  # noqa: BLE001 - the call ends in it
            return [], error


def _answer(call: Call, parts: list[Buffer], error: BaseException | None) -> None:
    if error is not None:
        call.fail(error)
    else:
        call.send(parts, last=True)
