"""The models that a job calls: how it reaches them, and what their servers did for it."""

from __future__ import annotations

import os
import secrets
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

from sonic.client.regions import MemoryUse
from sonic.errors import ConfigError, InferenceError
from sonic.framework.report import ServerUse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import ExitStack

    from sonic.client.fallback import Fallback
    from sonic.client.model import Client
    from sonic.client.pool import ServerState
    from sonic.framework.offload import Callee, Offloaded
    from sonic.framework.workflow import Workflow
    from sonic.protocol.messages import ModelStatistics


class Caller(Protocol):
    """What gives a job its models; :class:`sonic.Client` is one."""

    def model(self, name: str, version: str = "", outputs: Sequence[str] = (), request_rows: int = 0) -> Callee:
        """Return a model to call; the last is given only if it is not 0."""


def servers_for(workflow: Workflow, given: Sequence[str], mode: str) -> tuple[tuple[str, ...], str]:
    """Say which servers a job asks, and who named them; none if it is to start one of its own, or needs none.

    Returns
    -------
    servers : tuple of str
        URLs. If none are given, those that any client takes then: the balancer that the site announces, and those of
        the settings.
    named_by : str
        ``given``, ``site``, ``settings``, ``site and settings``, or empty.

    Raises
    ------
    ConfigError
        If the settings make no sense.
    """
    if given:
        return tuple(given), "given"
    if mode == "direct" or not workflow.offloads():
        return (), ""
    from sonic.client.settings import BALANCER_HOST, load  # here, since such a job needs no client

    servers = load().servers
    balancers = 1 if os.environ.get(BALANCER_HOST) else 0
    named_by = [*["site"] * balancers, *["settings"] * (len(servers) > balancers)]
    return servers, " and ".join(named_by)


def serve_own(stack: ExitStack, workflow: Workflow) -> str:
    """Start a server for the workflow's own models, which ends with the stack; returns its URL."""
    from sonic.client.fallback import ServeProcess  # here, since a job without offloads needs no client

    models = _models_of(workflow)
    # All users of this host can reach its ports. What keeps them out is a file, as processes of the job read it, too.
    token = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sonic-run-"))) / "token"
    token.write_text(secrets.token_urlsafe())
    server = stack.enter_context(ServeProcess([models], options=("--token-file", str(token))))
    return f"{server.grpc_url}?token_file={quote(str(token))}"


def fallback_for(
    workflow: Workflow, folder: str | os.PathLike[str] | None = None, how: str | None = None
) -> Fallback | None:
    """Say what a workflow falls back to: what is given here, before what the settings say, before its own models.

    Raises
    ------
    ConfigError
        If that makes no sense together, or there is no folder for what is given.
    """
    from sonic.client.fallback import Fallback
    from sonic.client.settings import load

    known = load().fallback
    described = None if known is None else Fallback.of(known)
    folder = folder or (workflow.models if described is None else described.folder)
    if folder is None:
        if how is None:
            return None
        raise ConfigError(f"workflow {workflow.name} has no models of its own: say which folder to fall back to")
    described = described or Fallback(os.fspath(folder))
    return replace(described, folder=os.fspath(folder), how=how or described.how)  # type: ignore[arg-type]


def connect(
    stack: ExitStack,
    workflow: Workflow,
    servers: Sequence[str],
    mode: str,
    *,
    fallback: Fallback | None,
    timeout_s: float | None,
    cores: int | None = None,
) -> Client:
    """Make the client for the job's mode; it is closed with the stack."""
    from sonic.client.model import Client

    if mode == "direct":
        limited = "" if cores is None else f"?cores={cores}"
        return stack.enter_context(
            Client([f"local:{_models_of(workflow)}{limited}"], fallback=False, timeout_s=timeout_s)
        )
    if fallback is not None and fallback.cores is None:
        fallback = replace(fallback, cores=cores)
    # A server must have the very models, whether or not they are there to fall back to.
    own = workflow.models if fallback is None and workflow.models and Path(workflow.models).is_dir() else None
    return stack.enter_context(Client(servers, fallback=fallback or False, timeout_s=timeout_s, reference=own))


def _models_of(workflow: Workflow) -> str:
    if workflow.models is None:
        raise ConfigError(f"workflow {workflow.name} has no models of its own: name a server that has them")
    return os.fspath(workflow.models)


def callees_of(client: Caller, modules: Sequence[Offloaded]) -> dict[str, Callee]:
    """Find the models to call, by module. That they are there is found out now rather than at the first chunk."""
    callees = {}
    for module in modules:
        most = {"request_rows": module.request_rows} if module.request_rows else {}
        callee = client.model(module.model, module.version, module.outputs, **most)
        try:
            _ = callee.spec
        except InferenceError as error:
            raise type(error)(f"module {module.name}: {error}") from error
        callees[module.name] = callee
    return callees


def statistics(callees: Mapping[str, Callee]) -> dict[str, ModelStatistics]:
    """Ask for the counters of the servers' models; a server that gives none is left out."""
    found = {}
    for name, callee in callees.items():
        try:
            found[name] = callee.statistics()
        except InferenceError:
            continue  # the report says null
    return found


def use_between(before: ServerState, after: ServerState) -> ServerUse:
    """Say what one server did for this job between two times."""
    earlier, now = before.memory or MemoryUse(), after.memory or MemoryUse()
    return ServerUse(
        after.server,
        after.completed - before.completed,
        after.failed - before.failed,
        in_memory=now.requests - earlier.requests,
        over_wire=now.over_wire - earlier.over_wire,
        wire_reason=now.reason,
        models={model: n - before.models.get(model, 0) for model, n in after.models.items()},
    )
