"""A simulation as it is described: models, servers, and who asks them. Pure."""

from __future__ import annotations

from dataclasses import fields
from math import inf
from typing import TYPE_CHECKING, Any

import msgspec

from sonic.client.settings import ClientSettings
from sonic.errors import ConfigError
from sonic.framework.graph import similar
from sonic.study.published import study
from sonic.study.records import Setting  # noqa: TC001 - msgspec reads annotations
from sonic.study.simulation.askerspec import ArrivalsSpec, ClientSpec, ClientsSpec, JobsSpec  # noqa: TC001
from sonic.study.simulation.balancing import Policy  # noqa: TC001
from sonic.study.simulation.scaling import Scaling  # noqa: TC001
from sonic.study.simulation.serverspec import ModelSpec, ServerSpec  # noqa: TC001

if TYPE_CHECKING:
    from sonic.study.published import Curve


class BalancerSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One address for all servers. Without it each client has them all, and chooses by its own pool.

    Parameters
    ----------
    policy : {"round_robin", "random", "least_requests", "shortest_delay"}
        See :class:`~sonic.study.simulation.balancing.Balancer`.
    notice_s : float
        For how long a server is still sent to after its death.
    """

    policy: Policy = "round_robin"
    notice_s: float = 1.0


class Published(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The scan of a paper that this one stands beside; see :mod:`sonic.study.published`."""

    study: str
    curve: str

    def scan(self) -> Curve:
        """Return it.

        Raises
        ------
        ConfigError
            If there is none.
        """
        return study(self.study).curve(self.curve)


class Spec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A deployment, and how long it is simulated.

    Parameters
    ----------
    target : str
        Its name, for the record.
    about : str
        Where its figures are from, and what is assumed.
    models : dict of str to ModelSpec
    servers : tuple of ServerSpec
    client : ClientSpec
    balancer : BalancerSpec or None
    scaling : Scaling or None
    clients : ClientsSpec or None
    arrivals : ArrivalsSpec or None
    jobs : JobsSpec or None
        Who asks: one of the last three.
    window_s, warmup_s : float
        What is measured, and what passes before.
    repeats, seed : int
        Each with the next seed.
    grid : dict of str to tuple
    published : Published or None
    server_kind : str
        What the servers are called in plans.
    """

    target: str
    about: str = ""
    models: dict[str, ModelSpec]
    servers: tuple[ServerSpec, ...]
    client: ClientSpec = ClientSpec()
    balancer: BalancerSpec | None = None
    scaling: Scaling | None = None
    clients: ClientsSpec | None = None
    arrivals: ArrivalsSpec | None = None
    jobs: JobsSpec | None = None
    window_s: float = 60.0
    warmup_s: float = 10.0
    repeats: int = 3
    seed: int = 1
    grid: dict[str, tuple[Setting, ...]] = {}
    published: Published | None = None
    server_kind: str = ""

    def __post_init__(self) -> None:
        self._check_tables()
        for name, value in self._counts().items():
            if not value > 0:
                raise ConfigError(f"{name} is above 0, given {value:g}")
        tree = msgspec.to_builtins(self)
        for model in tree["models"].values():
            model["wake_s"] = abs(model["wake_s"])  # alone of all it may be below 0
        _check_numbers(tree)
        self._check_models()
        self.client_settings()

    def _check_tables(self) -> None:
        if sum(each is not None for each in (self.clients, self.arrivals, self.jobs)) != 1:
            raise ConfigError("a simulation has one of the tables clients, arrivals and jobs")
        if not self.models or not self.servers:
            raise ConfigError("a simulation needs a model and a server: tables [models.NAME] and [[servers]]")
        if self.scaling and (self.balancer is None or len(self.servers) != 1):
            raise ConfigError(
                "scaling needs one table [[servers]], and a [balancer] through which clients find what is added"
            )
        if self.balancer is not None and len({each.network for each in self.servers}) > 1:
            raise ConfigError("servers behind a balancer are in one place: give them the same network")
        if self.jobs is not None:
            self.jobs.graph()
            if not self.jobs.takes_time():
                raise ConfigError("jobs whose events take no time never end: give modules cpu_s, or a model")

    def _counts(self) -> dict[str, float]:
        """Return what must be above 0, by its path."""
        counts: dict[str, float] = {"window_s": self.window_s, "repeats": self.repeats}
        counts |= {f"{name}.instances": model.instances for name, model in self.models.items()}
        counts["servers.count"] = min(each.count for each in self.servers)
        for name in ("speed", "accelerators", "cores"):
            counts[f"servers.{name}"] = min(_or_any(getattr(each, name)) for each in self.servers)
        counts["client.cores"] = _or_any(self.client.cores)
        if self.jobs is not None:
            for name in ("number", "threads", "chunk_events", "speed"):
                counts[f"jobs.{name}"] = getattr(self.jobs, name)
            counts["jobs.modules.requests"] = min((each.requests for each in self.jobs.modules), default=1)
        if self.clients is not None:
            for name in ("number", "rows", "in_flight", "processes"):
                counts[f"clients.{name}"] = getattr(self.clients, name)
        if self.arrivals is not None:
            counts |= {"arrivals.rate": self.arrivals.rate, "arrivals.rows": self.arrivals.rows}
        return counts

    def _check_models(self) -> None:
        """See that all models that are named are there, and take what they are asked for."""
        for server in self.servers:
            for name in server.models:
                self.model(name)
        who = self.clients or self.arrivals
        if who is not None:
            self._check_rows(who.model, who.rows)
        if self.jobs is not None:
            for module in self.jobs.modules:
                if module.model:
                    self._check_rows(module.model, self.jobs.request_rows(module))

    def _check_rows(self, name: str, rows: int) -> None:
        name, model = self.model(name)
        if 0 < model.max_rows < rows:
            raise ConfigError(f"model {name} takes {model.max_rows} rows at most, and is asked for {rows} at once")

    def model(self, name: str) -> tuple[str, ModelSpec]:
        """Return a model by its name; the only one if that is empty.

        Raises
        ------
        ConfigError
        """
        if not name and len(self.models) == 1:
            return next(iter(self.models.items()))
        if name not in self.models:
            raise ConfigError(
                f"no model {name!r}: there are {', '.join(self.models)}{similar(name, list(self.models))}"
            )
        return name, self.models[name]

    def client_settings(self) -> ClientSettings:
        """Return how clients treat servers.

        Raises
        ------
        ConfigError
            If a setting is unknown, or makes no sense.
        ValidationError
            If one is of another type.
        """
        known = [field.name for field in fields(ClientSettings)]
        for name in self.client.settings:
            if name not in known:
                raise ConfigError(f"client.settings: no setting {name!r}{similar(name, known)}")
        return msgspec.convert(self.client.settings, ClientSettings)


def _or_any(number: float | None) -> float:
    return inf if number is None else number


def _check_numbers(tree: Any, path: str = "") -> None:
    """Refuse what no number of a simulation can be: time goes on, and to an end."""
    if isinstance(tree, dict | list | tuple):
        for name, each in tree.items() if isinstance(tree, dict) else ((path, each) for each in tree):
            _check_numbers(each, f"{path}.{name}" if isinstance(tree, dict) and path else name)
    elif isinstance(tree, int | float) and not 0 <= tree < inf:
        raise ConfigError(f"{path} is a finite number of 0 or more, given {tree:g}")
