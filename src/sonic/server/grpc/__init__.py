"""The gRPC front, on HTTP/2 of our own: the library of gRPC copies more, and holds a thread for each call.

Specification: gRPC over HTTP/2 (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
"""
