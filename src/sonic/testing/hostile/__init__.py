"""Hypothesis strategies for what no well-meaning client sends: to a codec, over HTTP and over gRPC.

Most of it is nearly right, for what is wrong in every place is refused at the first one. Whatever is drawn, a server
answers it with what it asked for or with an error that blames the request, and then goes on as before.
"""

from __future__ import annotations

from sonic.testing.hostile.configs import configs, loads
from sonic.testing.hostile.grpc import Call, calls, infer_calls, infer_message, messages
from sonic.testing.hostile.http import Exchange, exchanges
from sonic.testing.hostile.values import damaged, infer_documents, json_bodies, json_values

__all__ = [
    "Call",
    "Exchange",
    "calls",
    "configs",
    "damaged",
    "exchanges",
    "infer_calls",
    "infer_documents",
    "infer_message",
    "json_bodies",
    "json_values",
    "loads",
    "messages",
]
