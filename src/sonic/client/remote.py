"""What a server says of its models, for a person to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sonic.client.identity import examine
from sonic.errors import InferenceError, ModelNotFound, Unsupported
from sonic.protocol.facts import Finding, ModelFacts
from sonic.protocol.modelfolder import number
from sonic.protocol.proto.model_config_pb2 import ModelConfig

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sonic.client.identity import Copy
    from sonic.client.transport import Transport
    from sonic.protocol.messages import ModelStatus

TIMEOUT_S = 30.0
"""For each question."""


def served(transport: Transport, model: str, version: str = "") -> ModelFacts:
    """Say what a server has of a model.

    Raises
    ------
    InferenceError
        If it has none, or does not answer.
    """
    spec = transport.model_spec(model, version, TIMEOUT_S)
    rows = [row for row in _index(transport) if row.name == model and row.state == "READY"]
    versions = [version] if version else [row.version for row in rows if row.version] or [spec.version]
    config = _config(transport, model, version)
    return ModelFacts(model, transport.url, config, spec, _sorted(versions), state="READY")


def listed(transport: Transport) -> tuple[tuple[ModelFacts, str], ...]:
    """List the models of a server: what is known of each, and why it is not ready; empty if it is.

    Raises
    ------
    InferenceError
        If it does not answer.
    """
    found = []
    rows = transport.models(TIMEOUT_S)
    for name in sorted({row.name for row in rows}):
        own = [row for row in rows if row.name == name]
        ready = [row.version for row in own if row.state == "READY"]
        gone = _ON_PURPOSE if ready else ()  # other versions, which nobody misses
        reasons = (row.reason for row in own if row.state != "READY" and row.reason not in ("", *gone))
        reason = "; ".join(dict.fromkeys(reasons))
        if not ready:
            facts = ModelFacts(name, transport.url, ModelConfig(name=name), state=own[0].state or "UNAVAILABLE")
        else:
            facts = ModelFacts(
                name, transport.url, _config(transport, name, ""), versions=_sorted(ready), state="READY"
            )
        found.append((facts, reason))
    return tuple(found)


def check(transport: Transport) -> tuple[tuple[str, ...], tuple[Finding, ...]]:
    """Say which models a server has, and why some are not ready.

    Raises
    ------
    InferenceError
        If it does not answer.
    """
    rows = transport.models(TIMEOUT_S)
    return tuple(dict.fromkeys(row.name for row in rows)), tuple(
        Finding(row.name, _trouble(row), "note" if row.reason in _ON_PURPOSE else "error")
        for row in rows
        if row.state != "READY"
    )


def compare(transport: Transport, copy: Copy, models: Iterable[str]) -> tuple[Finding, ...]:
    """Say where a server's models differ from copies of them."""
    found = []
    for model in models:
        try:
            verdict = examine(transport, copy, model, "", TIMEOUT_S)
        except InferenceError as error:
            found.append(Finding(model, str(error)))
            continue
        found += [Finding(model, f"on {transport.url}: {line}") for line in verdict.differences]
        found += [Finding(model, f"on {transport.url}: {line}", "note") for line in verdict.notes]
    return tuple(found)


_ON_PURPOSE = ("not loaded", "unloaded")


def _trouble(row: ModelStatus) -> str:
    version = f"version {row.version} " if row.version else ""
    text = f"{version}is {row.state.lower() or 'in an unknown state'}"
    return f"{text}: {row.reason.removeprefix(f'model {row.name!r} ')}" if row.reason else text


def _index(transport: Transport) -> tuple[ModelStatus, ...]:
    try:
        return transport.models(TIMEOUT_S)
    except (Unsupported, ModelNotFound):  # an extension that not every server has
        return ()


def _config(transport: Transport, model: str, version: str) -> ModelConfig:
    try:
        return transport.model_config(model, version, TIMEOUT_S)
    except (Unsupported, ModelNotFound):  # the same
        return ModelConfig(name=model)


def _sorted(versions: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(versions), key=number))
