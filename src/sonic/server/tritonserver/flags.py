"""tritonserver's command line -> settings. Pure.

A flag is written ``--flag=value`` or ``--flag value``, and may be shortened as long as it stays unique. What a flag of
Triton's asks for is done, or it is not:

- A flag without meaning here, or one that nobody knows, is ignored with a warning that names it: a command line that
  starts Triton starts Sonic.
- A flag that protects the server (TLS, restricted calls) and is not offered is an error: ignoring it would open what
  its owner meant to close.
- A value that makes no sense is an error.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sonic.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_FLAGS: dict[str, tuple[type, str]] = {
    "model-repository": (str, "folder of models; repeatable"),
    "model-store": (str, "the same"),
    "model-control-mode": (str, "none, explicit (clients load and unload) or poll (models follow their folders)"),
    "load-model": (str, "with explicit: load this one at the start; repeatable; * for all"),
    "repository-poll-secs": (int, "with poll: seconds between two looks (15)"),
    "exit-on-error": (bool, "end if a model cannot be loaded (true)"),
    "strict-readiness": (bool, "not ready while a model could not be loaded (true)"),
    "exit-timeout-secs": (int, "seconds that requests in hand get to end, after SIGTERM (30)"),
    "id": (str, "what the server calls itself"),
    "allow-http": (bool, "offer HTTP (true)"),
    "http-address": (str, "host for HTTP and metrics (0.0.0.0)"),
    "http-port": (int, "8000; 0: any free one"),
    "allow-grpc": (bool, "offer gRPC (true)"),
    "grpc-address": (str, "host for gRPC (0.0.0.0)"),
    "grpc-port": (int, "8001; 0: any free one"),
    "allow-metrics": (bool, "offer metrics (true)"),
    "metrics-address": (str, "host for metrics (as for HTTP)"),
    "metrics-port": (int, "8002; 0: any free one"),
    "log-verbose": (int, "above 0: log every request (0)"),
    "log-info": (bool, "log information (true)"),
    "log-warning": (bool, "log warnings (true)"),
    "log-error": (bool, "log errors (true)"),
    "log-format": (str, "default or ISO8601"),
    "log-file": (str, "write the log there, not to standard error"),
    "backend-config": (str, "[BACKEND,]SETTING=VALUE; default-max-batch-size has effect"),
    "cache-config": (str, "local,size=BYTES: room for the responses of models with response_cache (none)"),
    "response-cache-byte-size": (int, "the same, older"),
    "cores": (int, "cores for the instances of one model; Sonic's own flag"),
    "strict-model-config": (bool, "false"),
    "disable-auto-complete-config": (type(None), "without effect"),
    "allow-gpu-metrics": (bool, "true"),
    "allow-cpu-metrics": (bool, "true"),
    "help": (type(None), "show this"),
}
_REPEATABLE = frozenset({"model-repository", "load-model", "backend-config", "cache-config"})

_INERT = frozenset(
    """
    backend-directory buffer-manager-thread-count cache-directory cuda-memory-pool-byte-size
    cuda-virtual-address-size grpc-header-forward-pattern grpc-http2-max-ping-strikes grpc-http2-max-pings-without-data
    grpc-http2-min-recv-ping-interval-without-data grpc-infer-allocation-pool-size grpc-infer-response-compression-level
    grpc-keepalive-permit-without-calls grpc-keepalive-time grpc-keepalive-timeout grpc-max-connection-age
    grpc-max-connection-age-grace host-policy http-header-forward-pattern http-thread-count metrics-config
    metrics-interval-ms min-supported-compute-capability model-load-gpu-limit model-load-retry-count
    model-load-thread-count model-namespacing pinned-memory-pool-byte-size rate-limit rate-limit-priority
    rate-limit-resource repoagent-directory reuse-grpc-port reuse-http-port trace-config
    trace-count trace-file trace-level trace-log-frequency trace-rate
    """.split()  # noqa: SIM905 - forty lines otherwise
)
_PROTECTIVE = frozenset(
    """
    grpc-restricted-protocol grpc-root-cert grpc-server-cert grpc-server-key grpc-use-ssl grpc-use-ssl-mutual
    http-restricted-api
    """.split()  # noqa: SIM905 - likewise
)
_BOOLS = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}
_AS_IT_IS = {"strict-model-config": False, "allow-gpu-metrics": True, "allow-cpu-metrics": True}


@dataclass(frozen=True, slots=True)
class Settings:
    """What a command line asks for. A port is None where its front is switched off."""

    repositories: tuple[str, ...] = ()
    http_port: int | None = 8000
    http_host: str = "0.0.0.0"  # noqa: S104 - as Triton's, which sits in a container
    grpc_port: int | None = 8001
    grpc_host: str = "0.0.0.0"  # noqa: S104
    metrics_port: int | None = 8002
    metrics_host: str = "0.0.0.0"  # noqa: S104
    control: str = "none"
    models: tuple[str, ...] = ()
    """To be loaded at the start if `control` is explicit; ``("*",)`` is all."""
    poll_s: float = 15.0
    exit_on_error: bool = True
    strict_readiness: bool = True
    drain_s: float = 30.0
    name: str = "sonic"
    cores: int | None = None
    default_max_batch: int | None = None
    cache_bytes: int = 0
    log_verbose: int = 0
    log_info: bool = True
    log_warning: bool = True
    log_error: bool = True
    log_iso8601: bool = False
    log_file: str | None = None
    warnings: tuple[str, ...] = field(default=())
    help: bool = False


def parse(arguments: Sequence[str]) -> Settings:
    """Read a command line, without the program's name.

    Raises
    ------
    ConfigError
        If a value makes no sense, no repository is given, or what is asked for is protection that is not offered.
    """
    values, warnings = _read(arguments)
    if "help" in values:
        return Settings(help=True)
    one: Mapping[str, Any] = {name: given[-1] for name, given in values.items()}
    repositories = tuple(values.get("model-repository", ()))
    if not repositories:
        raise ConfigError("no model repository is given: expected --model-repository=FOLDER")
    for name, as_it_is in _AS_IT_IS.items():
        if one.get(name, as_it_is) is not as_it_is:
            warnings.append(f"--{name}={_show(one[name])} has no effect: it is always {_show(as_it_is)}")
    if "disable-auto-complete-config" in one:
        warnings.append("--disable-auto-complete-config has no effect: what a config.pbtxt leaves out is completed")
    http_host = one.get("http-address", "0.0.0.0")  # noqa: S104
    iso8601 = _choice(one, "log-format", "default", ("default", "ISO8601")) == "ISO8601"
    return Settings(
        repositories,
        http_port=_port(one, "http", 8000),
        http_host=http_host,
        grpc_port=_port(one, "grpc", 8001),
        grpc_host=one.get("grpc-address", "0.0.0.0"),  # noqa: S104
        metrics_port=_port(one, "metrics", 8002),
        metrics_host=one.get("metrics-address", http_host),
        **_control(values, one, warnings),
        exit_on_error=one.get("exit-on-error", True),
        strict_readiness=one.get("strict-readiness", True),
        drain_s=_at_least(one, "exit-timeout-secs", 30, 0),
        name=one.get("id", "sonic"),
        cores=_at_least(one, "cores", None, 1),
        default_max_batch=_default_max_batch(values, warnings),
        cache_bytes=_cache_bytes(values, one, warnings),
        log_verbose=one.get("log-verbose", 0),
        log_info=one.get("log-info", True),
        log_warning=one.get("log-warning", True),
        log_error=one.get("log-error", True),
        log_iso8601=iso8601,
        log_file=one.get("log-file") or None,
        warnings=tuple(warnings),
    )


def usage() -> str:
    """Return the flags, a line each."""
    width = max(map(len, _FLAGS)) + 2
    lines = [f"  {'--' + name:<{width}}  {text}" for name, (_, text) in _FLAGS.items()]
    return "\n".join(
        [
            "Usage: sonic-tritonserver --model-repository=FOLDER [--FLAG=VALUE ...]",
            "",
            *lines,
            "",
            "Other flags of tritonserver's are ignored with a warning, but for those of TLS and restricted calls.",
        ]
    )


def _read(arguments: Sequence[str]) -> tuple[dict[str, list[Any]], list[str]]:
    values: dict[str, list[Any]] = {}
    warnings: list[str] = []
    left = list(arguments)
    while left:
        argument = left.pop(0)
        if argument == "-h":
            argument = "--help"
        if not argument.startswith("--") or argument == "--":
            warnings.append(f"{argument!r} is ignored: it belongs to no flag")
            continue
        written, has_value, value = argument[2:].partition("=")
        name = _full(written)
        known = name in _FLAGS
        kind = _FLAGS[name][0] if known else str
        if kind is type(None):
            values.setdefault(name, []).append(True)
            continue
        if not has_value and left and (known or not left[0].startswith("--")):
            value = left.pop(0)
        elif not has_value and known:
            raise ConfigError(f"--{name} expects a value, given none")
        if known:
            values.setdefault("model-repository" if name == "model-store" else name, []).append(
                _convert(name, kind, value)
            )
        elif name not in _PROTECTIVE:
            why = "it has no effect here" if name in _INERT else "no such flag is known"
            warnings.append(f"--{written} is ignored: {why}")
        elif _BOOLS.get(value.lower(), True):
            raise ConfigError(f"--{name} is not offered, and ignoring it would leave the server open")
    for name, given in values.items():
        if len(given) > 1 and name not in _REPEATABLE:
            warnings.append(f"--{name} is given {len(given)} times: the last one counts")
    return values, warnings


def _full(written: str) -> str:
    names = _FLAGS.keys() | _INERT | _PROTECTIVE
    matching = [name for name in names if name.startswith(written)] if written else []
    return matching[0] if written not in names and len(matching) == 1 else written


def _convert(name: str, kind: type, value: str) -> Any:
    if kind is bool:
        if value.lower() not in _BOOLS:
            raise ConfigError(f"--{name} expects true or false, given {value!r}")
        return _BOOLS[value.lower()]
    if kind is int:
        try:
            return int(value)
        except ValueError:
            raise ConfigError(f"--{name} expects a whole number, given {value!r}") from None
    return value


def _show(value: Any) -> str:
    return str(value).lower()


def _port(one: Mapping[str, Any], front: str, default: int) -> int | None:
    return one.get(f"{front}-port", default) if one.get(f"allow-{front}", True) else None


def _at_least(one: Mapping[str, Any], name: str, default: int | None, least: int) -> Any:
    value = one.get(name, default)
    if value is not None and value < least:
        raise ConfigError(f"--{name} must be {least} or more, given {value}")
    return value


def _choice(one: Mapping[str, Any], name: str, default: str, choices: tuple[str, ...]) -> str:
    value: str = one.get(name, default)
    if value not in choices:
        raise ConfigError(f"--{name} must be one of {', '.join(choices)}, given {value!r}")
    return value


def _control(values: Mapping[str, Any], one: Mapping[str, Any], warnings: list[str]) -> dict[str, Any]:
    control = _choice(one, "model-control-mode", "none", ("none", "explicit", "poll"))
    models = tuple(values.get("load-model", ()))
    if models and control != "explicit":
        raise ConfigError(f"--load-model needs --model-control-mode=explicit, given {control}")
    if "*" in models and len(models) > 1:
        raise ConfigError("--load-model=* loads every model: it stands alone")
    if "repository-poll-secs" in one and control != "poll":
        warnings.append("--repository-poll-secs has no effect: it needs --model-control-mode=poll")
    return {"control": control, "models": models, "poll_s": float(_at_least(one, "repository-poll-secs", 15, 1))}


def _default_max_batch(values: Mapping[str, Any], warnings: list[str]) -> int | None:
    size: int | None = None
    for text in values.get("backend-config", ()):
        backend, _, setting = text.rpartition(",")
        key, is_setting, value = setting.partition("=")
        if not is_setting:
            raise ConfigError(f"--backend-config expects [BACKEND,]SETTING=VALUE, given {text!r}")
        if key == "default-max-batch-size" and backend in ("", "onnxruntime") and value.isdecimal() and int(value):
            size = int(value)
        else:
            warnings.append(f"--backend-config={text} is ignored: it has no effect here")
    return size


def _cache_bytes(values: Mapping[str, Any], one: Mapping[str, Any], warnings: list[str]) -> int:
    size: int = _at_least(one, "response-cache-byte-size", 0, 0)
    for text in values.get("cache-config", ()):
        kind, _, setting = text.partition(",")
        key, _, value = setting.partition("=")
        if kind == "local" and key == "size" and value.isdecimal():
            size = int(value)
        else:
            warnings.append(f"--cache-config={text} is ignored: local,size=BYTES has effect")
    return size
