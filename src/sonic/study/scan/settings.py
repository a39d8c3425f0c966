"""What can be set for a point of a scan, and whether it concerns load, client, network or server. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sonic.errors import ConfigError, shown
from sonic.study.conditions.line import Conditions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sonic.study.records import Setting

Concern = Literal["load", "client", "network", "server", "label"]


@dataclass(frozen=True, slots=True)
class Known:
    """A setting.

    Parameters
    ----------
    concern : {"load", "client", "network", "server", "label"}
        What a change of it makes necessary: for the server a new one, for the network a new line, for a label nothing.
    kind : type
        bool, int, float or str; where a float is wanted a whole number is one.
    about : str
        One line.
    default : Setting or None
        What it is when nothing is said; None: that is up to others, e.g. to the model's configuration.
    choices : tuple of str
    least : float
    """

    concern: Concern
    kind: type[bool] | type[int] | type[float] | type[str]
    about: str
    default: Setting | None = None
    choices: tuple[str, ...] = ()
    least: float = 0.0


KNOWN: dict[str, Known] = {
    "clients": Known("load", int, "in a closed loop: each waits for its answer; of a workflow, jobs", 1, least=1),
    "rate": Known("load", float, "requests a second in an open loop, in place of clients", least=1e-3),
    "arrivals": Known("load", str, "of an open loop", "poisson", ("poisson", "constant")),
    "rows": Known("load", int, "of a request", 1, least=1),
    "think_s": Known("load", float, "pause of a client after an answer, in seconds", 0.0),
    "input": Known("load", str, "random, or a file: tensors (.npz), recorded requests, a workflow's events", "random"),
    "chunk_size": Known("load", int, "of a workflow: events in a chunk", least=1),
    "threads": Known("load", int, "of each job of a workflow", 1, least=1),
    "streams": Known("load", int, "of each job of a workflow: chunks in flight", least=1),
    "shared_memory": Known("load", bool, "for large tensors, to a server on this host", default=False),
    "protocol": Known("client", str, "of the requests", "grpc", ("grpc", "http", "grpc+unix", "http+unix", "local")),
    "compression": Known("client", str, "of requests", "none", ("none", "gzip", "deflate")),
    "round_trip_ms": Known("network", float, "delay of both ways together", 0.0),
    "jitter_ms": Known("network", float, "by which the delay of a way varies, up and down", 0.0),
    "bandwidth_mbps": Known("network", float, "millions of bits a second, each way; 0: no limit", 0.0),
    "loss": Known("network", float, "part of the segments that is lost, 0 to 0.5", 0.0),
    "conditions": Known("network", str, "what makes the network", "relay", ("relay", "netem")),
    "cores": Known("server", int, "for the instances of a model", least=1),
    "instances": Known("server", int, "of the model", least=1),
    "kind": Known("server", str, "what an instance computes on", choices=("cpu", "gpu")),
    "batching": Known("server", bool, "whether requests are put together"),
    "batch": Known("server", int, "most rows of an execution, and of a request", least=1),
    "preferred": Known("server", str, "rows of an execution to aim at: '200' or '100,200'"),
    "delay_us": Known("server", int, "for which the first waits for others, in microseconds"),
    "copies": Known("server", int, "of the model, under names of their own; requests go to them by turns", 1, least=1),
    "backend": Known("server", str, "that executes a network of the zoo", choices=("onnxruntime", "pytorch", "python")),
    "weights": Known("server", str, "of a network of the zoo", "trained", ("trained", "random", "table")),
    "width": Known("server", float, "of a network of the zoo with random weights", 1.0, least=1e-3),
    "server_kind": Known("label", str, "what such a server is called in plans (sonic study advise)"),
    "models": Known("server", str, "folder of the models; relative to the specification"),
}
"""By name, in the order in which they are told."""


KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", dict: "a table"}
"""How kinds of values are called in messages."""


def checked(name: str, value: object, where: str) -> Setting:
    """Return a setting's value, as the kind that it is.

    Parameters
    ----------
    name : str
        Of :data:`KNOWN`.
    value : object
    where : str
        In what it was found, for messages.

    Raises
    ------
    ConfigError
        If it cannot have that value.
    """
    known = KNOWN[name]
    if known.kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not known.kind:
        raise ConfigError(f"{where}: {name} is {KINDS[known.kind]}, given {shown(value)}")
    if known.choices and value not in known.choices:
        raise ConfigError(f"{where}: {name} is one of {', '.join(known.choices)}, given {shown(value)}")
    if isinstance(value, int | float) and not known.least <= value < math.inf:
        raise ConfigError(f"{where}: {name} must be {known.least:g} or more, given {value}")
    if name == "preferred":
        _check_preferred(str(value), where)
    assert isinstance(value, bool | int | float | str)  # noqa: S101 - one of the kinds
    return value


def told(settings: Mapping[str, Setting]) -> dict[str, Setting]:
    """Return what is said beyond the defaults, by which two points are the same or not."""
    return {
        name: settings[name] for name, known in KNOWN.items() if name in settings and settings[name] != known.default
    }


def concerning(settings: Mapping[str, Setting], *concerns: Concern) -> dict[str, Setting]:
    """Return those settings that concern something."""
    return {name: value for name, value in settings.items() if name in KNOWN and KNOWN[name].concern in concerns}


def conditions_of(settings: Mapping[str, Setting]) -> Conditions:
    """Return the network that settings want.

    Raises
    ------
    ConfigError
        If it makes no sense.
    """
    return Conditions(**{name: float(settings[name]) for name in Conditions.__dataclass_fields__ if name in settings})


def _check_preferred(value: str, where: str) -> None:
    if not all(part.strip().isdecimal() and int(part) > 0 for part in value.split(",")):
        raise ConfigError(f"{where}: preferred is numbers of rows, as '200' or '100,200', given {shown(value)}")
