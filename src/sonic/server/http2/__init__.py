"""The server's side of HTTP/2, as much of it as gRPC needs, free of sockets and clocks.

Specification: RFC 9113 (HTTP/2); header compression by the library hpack (RFC 7541).
"""

from sonic.server.http2.connection import Connection, Receiver
from sonic.server.http2.frames import Error
from sonic.server.http2.limits import Limits
from sonic.server.http2.stream import Stream

__all__ = ["Connection", "Error", "Limits", "Receiver", "Stream"]
