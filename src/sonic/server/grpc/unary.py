"""Methods that take one message of protobuf and return one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sonic.protocol.grpc_codec import parse
from sonic.server.access.guard import QUESTION_BYTES
from sonic.server.grpc.admission import Admission

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonic.server.access.guard import Guard
    from sonic.server.grpc.call import Call
    from sonic.server.grpc.wire import Message


class Method(NamedTuple):
    """What a method does.

    Attributes
    ----------
    function : callable
        Returns the answer, a message of protobuf; given the request and, if `asks_peer`, the address of the client.
    request : type
        Of the request.
    asks_peer : bool
    """

    function: Callable[..., Any]
    request: Any
    asks_peer: bool = False


class Unary(Admission):
    """Handler of a method that takes one message of protobuf and returns one.

    Parameters
    ----------
    method : Method
    guard : Guard or None
    max_bytes : int
        Largest request, decompressed.
    submit : callable or None
        Calls what it is given in another thread; None: the method runs in that of the event loop, and must be quick.
    """

    def __init__(
        self,
        method: Method,
        guard: Guard | None = None,
        max_bytes: int = QUESTION_BYTES,
        submit: Callable[..., object] | None = None,
    ) -> None:
        super().__init__(guard, max_bytes)
        self._method = method
        self._submit = submit

    def message(self, call: Call, message: Message) -> None:
        """Answer it."""
        if self._submit is not None:
            self._submit(self._run_and_tell, call, message, call.peer)
        else:
            self._done(call, self._run(message, call.peer))

    def _run(self, message: Message, peer: str) -> bytes:
        request = parse(self._method.request, message.content())
        function = self._method.function
        response = function(request, peer) if self._method.asks_peer else function(request)
        content: bytes = response.SerializeToString()
        return content

    def _run_and_tell(self, call: Call, message: Message, peer: str) -> None:
        try:
            content = self._run(message, peer)
        except Exception as error:  # noqa: BLE001 - the call ends in it
            call.soon(call.fail, error)
        else:
            call.soon(self._done, call, content)

    def _done(self, call: Call, content: bytes) -> None:
        call.send((content,), last=True)
