"""tritonserver's command line -> settings. Pure.

What a flag of Triton's asks for is done, or it is not:

- A flag without meaning here, or one that nobody knows, is ignored with a warning that names it: a command line that
  starts Triton starts Sonic.
- A flag that is not offered, and that protects the server or changes what models give, is an error: ignoring it would
  open what its owner meant to close, or answer otherwise than they expect.
- A value that makes no sense is an error.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sonic.errors import ConfigError
from sonic.protocol.rawfields import MAX_BYTES
from sonic.server.backends.completion import DEFAULT_MAX_BATCH
from sonic.server.scheduling.queueing import DEFAULT_MAX_QUEUE
from sonic.server.tritonserver.reading import read

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_AS_IT_IS = {"strict-model-config": False, "allow-gpu-metrics": True, "allow-cpu-metrics": True}
_TRACE = {"level": "trace_level", "rate": "trace_rate", "count": "trace_count", "log-frequency": "log_frequency"}
_TRACE_NUMBERS = {"rate": 1, "count": -1, "log-frequency": 0}


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
    http_socket: str | None = None
    grpc_socket: str | None = None
    grpc_cert: str | None = None
    """The server's certificate; None: gRPC is not encrypted. HTTP never is."""
    grpc_key: str | None = None
    grpc_client_ca: str | None = None
    """Who signs the clients' certificates; None: they need none."""
    control: str = "none"
    models: tuple[str, ...] = ()
    """To be loaded at the start if `control` is explicit; ``("*",)`` is all."""
    poll_s: float = 15.0
    exit_on_error: bool = True
    strict_readiness: bool = True
    drain_s: float = 30.0
    name: str = "triton"
    cores: int | None = None
    max_queue: int = DEFAULT_MAX_QUEUE
    max_message_bytes: int = MAX_BYTES
    default_max_batch: int = DEFAULT_MAX_BATCH
    cache_bytes: int = 0
    allow_client_shm: bool | None = None
    trace_file: str | None = None
    trace: Mapping[str, str] = field(default_factory=dict)
    """Settings of the protocol's trace extension."""
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
        If a value makes no sense, no repository is given, or what is asked for is not offered and may not be ignored.
    """
    values, warnings = read(arguments)
    if "help" in values:
        return Settings(help=True)
    one: Mapping[str, Any] = {name: given[-1] for name, given in values.items()}
    repositories = tuple(values.get("model-repository", ()))
    if not repositories:
        raise ConfigError("no model repository is given: expected --model-repository=FOLDER")
    _say_what_is_fixed(values, one, warnings)
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
        http_socket=one.get("http-socket") or None,
        grpc_socket=one.get("grpc-socket") or None,
        **_tls(one, warnings),
        **_control(values, one, warnings),
        exit_on_error=one.get("exit-on-error", True),
        strict_readiness=one.get("strict-readiness", True),
        drain_s=_at_least(one, "exit-timeout-secs", 30, 0),
        name=one.get("id", "triton"),
        cores=_at_least(one, "cores", None, 1),
        max_queue=_at_least(one, "max-queue", DEFAULT_MAX_QUEUE, 0),
        max_message_bytes=_at_least(one, "max-message-bytes", MAX_BYTES, 1),
        default_max_batch=_default_max_batch(values, warnings),
        cache_bytes=_cache_bytes(values, one, warnings),
        allow_client_shm=one.get("allow-client-shm"),
        **_trace(values, one, warnings),
        log_verbose=one.get("log-verbose", 0),
        log_info=one.get("log-info", True),
        log_warning=one.get("log-warning", True),
        log_error=one.get("log-error", True),
        log_iso8601=iso8601,
        log_file=one.get("log-file") or None,
        warnings=tuple(warnings),
    )


def _say_what_is_fixed(values: Mapping[str, Any], one: Mapping[str, Any], warnings: list[str]) -> None:
    for name, as_it_is in _AS_IT_IS.items():
        if one.get(name, as_it_is) is not as_it_is:
            warnings.append(f"--{name}={_show(one[name])} has no effect: it is always {_show(as_it_is)}")
    if "disable-auto-complete-config" in one:
        warnings.append("--disable-auto-complete-config has no effect: what a config.pbtxt leaves out is completed")
    warnings += (
        f"--metrics-config={text} is ignored: latencies are counters here"
        for text in values.get("metrics-config", ())
        if text != "counter_latencies=true"
    )


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


def _tls(one: Mapping[str, Any], warnings: list[str]) -> dict[str, Any]:
    mutual = one.get("grpc-use-ssl-mutual", False)
    needed = ("grpc-server-cert", "grpc-server-key", *(("grpc-root-cert",) if mutual else ()))
    if not mutual and not one.get("grpc-use-ssl", False):
        given = (name for name in ("grpc-server-cert", "grpc-server-key", "grpc-root-cert") if one.get(name))
        warnings += (f"--{name} has no effect: it needs --grpc-use-ssl=true" for name in given)
        return {}
    for name in needed:
        if not one.get(name):
            raise ConfigError(f"--grpc-use-ssl{'-mutual' if mutual else ''} needs --{name}")
    if not mutual and one.get("grpc-root-cert"):
        warnings.append("--grpc-root-cert has no effect: it needs --grpc-use-ssl-mutual=true")
    return {
        "grpc_cert": one["grpc-server-cert"],
        "grpc_key": one["grpc-server-key"],
        "grpc_client_ca": one["grpc-root-cert"] if mutual else None,
    }


def _control(values: Mapping[str, Any], one: Mapping[str, Any], warnings: list[str]) -> dict[str, Any]:
    written = {name: value.lower() for name, value in one.items() if name == "model-control-mode"}
    control = _choice(written, "model-control-mode", "none", ("none", "explicit", "poll"))
    models = tuple(values.get("load-model", ()))
    if models and control != "explicit":
        raise ConfigError(f"--load-model needs --model-control-mode=explicit, given {control}")
    if "*" in models and len(models) > 1:
        raise ConfigError("--load-model=* loads every model: it stands alone")
    if one.get("repository-poll-secs") and control != "poll":
        warnings.append("--repository-poll-secs has no effect: it needs --model-control-mode=poll")
    poll_s = _at_least(one, "repository-poll-secs", 15, 0)
    if control == "poll" and poll_s == 0:
        control = "none"  # as Triton, which then looks at the start alone
    return {"control": control, "models": models, "poll_s": float(poll_s)}


def _default_max_batch(values: Mapping[str, Any], warnings: list[str]) -> int:
    size = DEFAULT_MAX_BATCH
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


def _trace(values: Mapping[str, Any], one: Mapping[str, Any], warnings: list[str]) -> dict[str, Any]:
    asked: list[tuple[str, str]] = [("level", level) for level in values.get("trace-level", ())]
    asked += [(name, str(one[f"trace-{name}"])) for name in ("file", *_TRACE_NUMBERS) if f"trace-{name}" in one]
    elsewhere = False
    for text in values.get("trace-config", ()):
        mode, _, setting = text.rpartition(",")
        key, is_setting, value = setting.partition("=")
        if not is_setting:
            raise ConfigError(f"--trace-config expects [MODE,]SETTING=VALUE, given {text!r}")
        if mode == "opentelemetry" or setting == "mode=opentelemetry":
            elsewhere = True
        elif mode in ("", "triton") and key in ("file", *_TRACE):
            asked.append((key, value))
        elif setting != "mode=triton":
            warnings.append(f"--trace-config={text} is ignored: no such setting is known")
    file: str | None = None
    trace: dict[str, str] = {}
    for key, value in asked:
        if key == "file":
            file = value or None
        elif value == "TENSORS" and key == "level":
            warnings.append("trace level TENSORS is ignored: times are traced, and no tensors")
        else:
            trace[_TRACE[key]] = _trace_value(key, value)
    if elsewhere:
        warnings.append("--trace-config asks for OpenTelemetry, which is not offered: give triton,file=PATH for traces")
    if file is None and trace.get("trace_level", "OFF") != "OFF":
        if not elsewhere:
            warnings.append("nothing is traced: --trace-config triton,file=PATH is missing")
        del trace["trace_level"]
    return {"trace_file": file, "trace": trace}


def _trace_value(key: str, value: str) -> str:
    if key == "level":
        value = {"MIN": "TIMESTAMPS", "MAX": "TIMESTAMPS"}.get(value, value)  # as they were called once
        if value not in ("OFF", "TIMESTAMPS"):
            raise ConfigError(f"trace level must be one of OFF, TIMESTAMPS, TENSORS, given {value!r}")
        return value
    least = _TRACE_NUMBERS[key]
    if not value.removeprefix("-").isdecimal() or not least <= int(value) < 10**9:
        raise ConfigError(f"trace {key} must be a whole number from {least}, given {value!r}")
    return str(int(value))
