"""One connection: requests in, answers out, one after the other.

All of it happens in the event loop's thread. What comes while a request is being answered waits: some of it here, the
rest with the client. A client that closes its end is taken to have gone, and the request it has is given up.

Copies of a request's body: see :mod:`sonic.server.http.body`; of an answer's: one if it is small, none if it is large.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, cast

from sonic.errors import InvalidRequest, Unavailable
from sonic.server.http.answer import refusal
from sonic.server.http.body import Body, ChunkedBody, UnwantedBody
from sonic.server.http.exchange import NOTHING, Exchange, explained
from sonic.server.http.head import END, BadMessage, read_head
from sonic.server.http.wakeups import PIECE_BYTES, Wakeups
from sonic.server.sockets import peer_of

if TYPE_CHECKING:
    from sonic.server.http.answer import Answer
    from sonic.server.http.connections import Connections
    from sonic.server.http.exchange import Handler, Site
    from sonic.server.http.head import Head

log = logging.getLogger("sonic.server")

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_CLOSE = b"Connection: close\r\n"
_KEEP_ALIVE = b"Connection: keep-alive\r\n"  # which is news to HTTP/1.0 alone


class Connection(asyncio.BufferedProtocol):
    """What the event loop drives for one connection.

    Parameters
    ----------
    site : Site
    connections : Connections
        Those of the same front, and what they share.

    Attributes
    ----------
    loop : AbstractEventLoop
    peer : str
        Address of the client, without its port; empty for one on a Unix domain socket.
    """

    __slots__ = (
        "_all",
        "_body",
        "_closed",
        "_consuming",
        "_direct",
        "_ending",
        "_exchange",
        "_handler",
        "_head",
        "_lingering",
        "_pending",
        "_reading_paused",
        "_since_s",
        "_site",
        "_transport",
        "_wakeups",
        "_writing_bytes",
        "_writing_paused",
        "loop",
        "peer",
    )

    _transport: asyncio.Transport
    _handler: Handler

    def __init__(self, site: Site, connections: Connections) -> None:
        self.loop = connections.loop
        self._site = site
        self._all = connections
        self.peer = ""
        self._head: Head | None = None  # of the request in hand, or else of the last
        self._body: Body | ChunkedBody | UnwantedBody | None = None
        self._direct: Body | None = None  # what the loop reads straight into
        self._exchange: Exchange | None = None
        self._pending = bytearray()
        self._consuming = False  # while it does, an answer leaves what is pending to it
        self._wakeups: Wakeups | None = None  # if a large body came
        self._reading_paused = False
        self._writing_paused = False
        self._writing_bytes = 0
        self._ending = False  # the next answer is the last
        self._closed = False  # no more requests are taken
        self._lingering = False  # but what comes is read
        self._since_s = connections.now_s()  # when what it waits for began

    # ---- what the event loop calls ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self.peer = peer_of(transport.get_extra_info("peername"))
        self._all.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - it is over either way
        """End, and give up the request in hand."""
        exchange, self._exchange = self._exchange, None
        self._closed = True
        self._body = self._direct = None
        self._pending.clear()
        self._all.discard(self)
        if self._wakeups is not None:
            self._wakeups.close()
        if exchange is not None:
            exchange.abandon()
            self._all.busy_poll.end()

    def get_buffer(self, sizehint: int) -> memoryview | bytearray:  # noqa: ARG002
        """Return where the next bytes are to be read to."""
        if self._direct is not None:
            try:
                return self._direct.room()
            except MemoryError:
                self._run_out(self._direct)
        # The shared one holds nothing from one read to the next.
        return self._all.scratch

    def buffer_updated(self, nbytes: int) -> None:
        """Take bytes that were read."""
        if (body := self._direct) is not None:
            body.filled(nbytes)
            if self._wakeups is not None:
                self._wakeups.wait_for(body.missing or 1)
            if not body.missing:
                self._direct = None
                self._begin()
        elif self._lingering:
            pass
        elif self._pending or self._busy:
            self._pending += memoryview(self._all.scratch)[:nbytes]
            self._go_on()
        else:
            rest = self._consume(self._all.scratch, nbytes)
            if rest < nbytes:
                if not self._busy:
                    self._since_s = self._all.now_s()
                self._pending += memoryview(self._all.scratch)[rest:nbytes]

    def pause_writing(self) -> None:
        """Take no more requests until what was written has been sent."""
        self._writing_paused = True
        self._since_s = self._all.now_s()

    def resume_writing(self) -> None:
        """Go on."""
        self._writing_paused = False
        self._since_s = self._all.now_s()
        self._go_on()

    # ---- what its owner calls ---------------------------------------------------------------------------------------

    def check(self, now_s: float) -> None:
        """Give up on a client that keeps it waiting for too long."""
        limits, waited_s = self._all.limits, now_s - self._since_s
        if self._lingering:
            if waited_s > limits.linger_s:
                self._transport.abort()
        elif self._writing_paused or self._closed:
            if waited_s > limits.transfer_s(self._writing_bytes):
                self._transport.abort()
        elif self._exchange is not None:
            pass
        elif self._body is not None:
            if waited_s > limits.transfer_s(self._body.received):
                self._break(refusal(BadMessage(f"the body did not come within {waited_s:.0f} s", 408)))
        elif self._pending:
            if waited_s > limits.head_s:
                self._break(refusal(BadMessage(f"the head did not come within {waited_s:.0f} s", 408)))
        elif waited_s > limits.idle_s:
            self._close()

    def end(self) -> None:
        """Close it once the request in hand is answered; at once if there is none."""
        self._ending = True
        if self._exchange is None and self._body is None:
            self._close()

    def abort(self) -> None:
        """Close it, whatever it does."""
        self._transport.abort()

    def finish(self, exchange: Exchange, answer: Answer) -> None:
        """Send the answer to the request in hand; nothing if it is of another, whose client has gone."""
        if exchange is not self._exchange:
            return
        self._exchange = None
        self._send(answer, exchange.head)
        self._all.busy_poll.end()
        if not self._consuming:
            self._go_on()

    # ---- requests ---------------------------------------------------------------------------------------------------

    @property
    def _busy(self) -> bool:
        return self._exchange is not None or self._writing_paused or self._closed

    def _go_on(self) -> None:
        """Take the requests that wait here."""
        if self._pending and not self._consuming:
            rest = self._consume(self._pending, len(self._pending))
            del self._pending[:rest]
        full = len(self._pending) >= self._all.limits.head_bytes
        if full is not self._reading_paused and not self._closed:
            self._reading_paused = full
            (self._transport.pause_reading if full else self._transport.resume_reading)()

    def _consume(self, data: bytearray, stop: int) -> int:
        """Take what can be taken from the beginning of `data`, up to `stop`; return where that ends."""
        start = 0
        self._consuming = True
        try:
            while start < stop and not self._busy:
                if self._body is None:
                    after = self._find_head(data, start, stop)
                    if after < 0:
                        break
                    start = after
                    self._meet(alone=start == stop)
                if self._body is not None:
                    start = self._body.take(data, start, stop)
                    if self._body.complete:
                        self._begin()
        except BadMessage as error:
            self._break(refusal(error))
        except MemoryError:
            self._run_out(self._body)
        finally:
            self._consuming = False
        if self._lingering:
            return stop
        if type(self._body) is Body:
            self._direct = self._body
            if self._body.missing > PIECE_BYTES:
                self._wakeups = self._wakeups or Wakeups(self._transport)
                self._wakeups.wait_for(self._body.missing)
        return start

    def _find_head(self, data: bytearray, start: int, stop: int) -> int:
        """Read the head at `start`, and return where it ends; -1 if it is not all there."""
        # A client's requests mostly have the same head, to the byte.
        if self._head is not None and data.startswith(self._head.raw, start, stop):
            return start + len(self._head.raw)
        begin = start
        while data.startswith(b"\r\n", begin, stop):
            begin += 2
        end = data.find(END, begin, stop)
        if (stop if end < 0 else end) - start > self._all.limits.head_bytes:
            raise BadMessage(f"a head has at most {self._all.limits.head_bytes} bytes", 431)
        if end < 0:
            return -1
        self._head = read_head(bytes(data[begin : end + len(END)]))
        self._handler = self._site.route(self._head)
        return end + len(END)

    def _meet(self, *, alone: bool) -> None:
        """Decide what becomes of the request whose head is there; `alone`: without any of its body."""
        head = self._head
        assert head is not None  # noqa: S101 - it has just been read
        try:
            self._site.admit(head, self.peer)
            most = self._handler.max_body_bytes
            if head.length > most:
                raise InvalidRequest(f"a body holds at most {most} bytes, given {head.length}")
            if head.chunked:
                self._body = ChunkedBody(most)
            elif head.length:
                self._body = Body(head.length, self._handler.prefix)
        except MemoryError:
            self._refuse(head, refusal(Unavailable(f"there is no memory for a body of {head.length} bytes")))
        except Exception as error:  # noqa: BLE001 - each becomes an answer, and what is unknown is logged
            self._refuse(head, explained(error))
        else:
            if self._body is None:
                self._begin()
            else:
                self._since_s = self._all.now_s()
                if alone and head.expects_continue:
                    self._transport.write(_CONTINUE)

    def _refuse(self, head: Head, answer: Answer) -> None:
        """Answer a request that is not let in, after its body if that is worth reading."""
        if head.chunked or head.expects_continue or head.length > self._all.limits.unwanted_bytes:
            self._break(answer)
        elif head.length:
            self._body = UnwantedBody(head.length, answer)
            self._since_s = self._all.now_s()
        else:
            self._send(answer, head)

    def _begin(self) -> None:
        """Hand on the request that is all there."""
        body, self._body = self._body, None
        head = self._head
        assert head is not None  # noqa: S101 - it came before the body
        if isinstance(body, UnwantedBody):
            self._send(body.answer, head)
            return
        exchange = self._exchange = Exchange(self, head, NOTHING if body is None else body.content())
        self._all.busy_poll.begin()
        try:
            self._handler.serve(exchange)
        except Exception as error:  # noqa: BLE001 - each becomes an answer, and what is unknown is logged
            exchange.answer(explained(error))

    # ---- answers ----------------------------------------------------------------------------------------------------

    def _send(self, answer: Answer, head: Head) -> None:
        keep = head.keep_alive and not self._ending
        extra = self._all.date
        if not keep:
            extra += _CLOSE
        elif head.http_version == "1.0":
            extra += _KEEP_ALIVE
        self._write(answer, extra, bodiless=head.method == "HEAD")
        if not keep:
            self._close()

    def _run_out(self, body: Body | ChunkedBody | UnwantedBody | None) -> None:
        """Answer a request whose body has outgrown the memory."""
        received = 0 if body is None else body.received
        self._break(refusal(Unavailable(f"there is no memory for the rest of a body, of which {received} bytes came")))

    def _break(self, answer: Answer) -> None:
        """Answer, and take nothing more: where the next request begins is not known, or not worth getting to.

        What the client still sends is read for a while, since to close before would take the answer from it.
        """
        self._write(answer, self._all.date + _CLOSE)
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._body = self._direct = None
        self._closed = self._lingering = True
        if self._wakeups is not None:
            self._wakeups.wait_for(1)
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()

    def _close(self) -> None:
        """Close it once everything is sent."""
        self._closed = True
        self._transport.close()

    def _write(self, answer: Answer, extra: bytes, *, bodiless: bool = False) -> None:
        self._since_s = self._all.now_s()
        pieces = answer.wire(extra, bodiless=bodiless)
        if len(pieces) == 1:
            self._transport.write(pieces[0])
            return
        self._writing_bytes = sum(map(len, pieces))
        self._transport.writelines(pieces)
