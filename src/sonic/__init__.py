"""SONIC in Python: heavy algorithms of event processing, on coprocessors that run as a service.

======================  =====================================================================
:func:`run`             run a workflow over event files; its heavy modules are offloaded
:func:`serve`           serve folders of models, and functions, over gRPC and HTTP, from this process
:func:`service`         declare what a function takes and gives, so that it can be served
:class:`Model`          call a served model
:class:`Client`         several servers and a fallback, shared by many models
:class:`Fallback`       models for when no server can take a request: here, in a child process or a container
:mod:`sonic.framework`  sources, modules, offloads and sinks to build a workflow from
:mod:`sonic.coffea`     models in coffea's processors
:mod:`sonic.errors`     every error raised on purpose
======================  =====================================================================
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sonic.version import __version__

if TYPE_CHECKING:
    from sonic import coffea as coffea
    from sonic import errors as errors
    from sonic import framework as framework
    from sonic.client.fallback import Fallback as Fallback
    from sonic.client.model import Client as Client
    from sonic.client.model import Model as Model
    from sonic.framework.job import run as run
    from sonic.server.app import serve as serve
    from sonic.server.backends.services import service as service

# Before anything imports grpc, whose library reads it once: what it would write on standard error about a connection,
# an exception says. A setting of the user's own stays.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

# Imported on first use, so that `sonic --help` does not wait for onnxruntime and a client does not load the server.
_HOMES = {
    "Client": "sonic.client.model",
    "Fallback": "sonic.client.fallback",
    "Model": "sonic.client.model",
    "run": "sonic.framework.job",
    "serve": "sonic.server.app",
    "service": "sonic.server.backends.services",
}

_ROOMS = ("coffea", "errors", "framework")

__all__ = ["Client", "Fallback", "Model", "__version__", "run", "serve", "service"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in _ROOMS:
        return import_module(f"sonic.{name}")
    raise AttributeError(f"module 'sonic' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, *_ROOMS]
