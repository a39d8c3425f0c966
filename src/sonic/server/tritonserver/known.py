"""The flags of tritonserver's command line, and what becomes of each."""

from __future__ import annotations

FLAGS: dict[str, tuple[type, str]] = {
    "model-repository": (str, "folder of models; repeatable"),
    "model-store": (str, "older name of --model-repository"),
    "model-control-mode": (str, "none, explicit (clients load and unload) or poll (models follow their folders)"),
    "load-model": (str, "with explicit: load this one at the start; repeatable; * for all"),
    "repository-poll-secs": (int, "with poll: seconds between two looks (15)"),
    "exit-on-error": (bool, "end if a model cannot be loaded (true)"),
    "strict-readiness": (bool, "not ready while a model could not be loaded (true)"),
    "exit-timeout-secs": (int, "seconds that requests in hand get to end, after SIGTERM (30)"),
    "id": (str, "what the server calls itself (triton)"),
    "allow-http": (bool, "offer HTTP (true)"),
    "http-address": (str, "host for HTTP and metrics (0.0.0.0)"),
    "http-port": (int, "8000; 0: any free one"),
    "allow-grpc": (bool, "offer gRPC (true)"),
    "grpc-address": (str, "host for gRPC (0.0.0.0)"),
    "grpc-port": (int, "8001; 0: any free one"),
    "grpc-use-ssl": (bool, "encrypt gRPC (false)"),
    "grpc-use-ssl-mutual": (bool, "... and let in only clients with a certificate (false)"),
    "grpc-server-cert": (str, "the server's certificate, PEM"),
    "grpc-server-key": (str, "its private key, PEM"),
    "grpc-root-cert": (str, "authorities of the clients' certificates, PEM"),
    "allow-metrics": (bool, "offer metrics (true)"),
    "metrics-address": (str, "host for metrics (as for HTTP)"),
    "metrics-port": (int, "8002; 0: any free one"),
    "allow-client-shm": (bool, "all clients may register shared memory, or none (those on this host)"),
    "log-verbose": (int, "above 0: log every request (0)"),
    "log-info": (bool, "log information (true)"),
    "log-warning": (bool, "log warnings (true)"),
    "log-error": (bool, "log errors (true)"),
    "log-format": (str, "default or ISO8601"),
    "log-file": (str, "write the log there, not to standard error"),
    "trace-config": (str, "[MODE,]SETTING=VALUE: level, rate, count; triton,file; triton,log-frequency; repeatable"),
    "trace-file": (str, "older form of --trace-config triton,file=PATH"),
    "trace-level": (str, "older form of level=: OFF or TIMESTAMPS (OFF)"),
    "trace-rate": (int, "older form of rate=: trace one request in so many (1000)"),
    "trace-count": (int, "older form of count=: trace so many requests (-1: all)"),
    "trace-log-frequency": (int, "older form of triton,log-frequency=: so many traces to a file (0: all in one)"),
    "backend-config": (str, "[BACKEND,]SETTING=VALUE; default-max-batch-size has effect"),
    "cache-config": (str, "local,size=BYTES: room for the responses of models with response_cache (none)"),
    "response-cache-byte-size": (int, "older form of --cache-config local,size=BYTES"),
    "metrics-config": (str, "SETTING=VALUE; counter_latencies=true is how it is"),
    "strict-model-config": (bool, "always false: what a config.pbtxt leaves out is completed"),
    "disable-auto-complete-config": (type(None), "without effect, likewise"),
    "allow-gpu-metrics": (bool, "always true, where metrics are offered"),
    "allow-cpu-metrics": (bool, "likewise"),
    "cores": (int, "Sonic's own: cores for the instances of one model"),
    "max-queue": (int, "Sonic's own: requests that may wait for a model that sets no max_queue_size; 0: no bound"),
    "max-message-bytes": (int, "Sonic's own: largest request (2 GiB)"),
    "grpc-socket": (str, "Sonic's own: also speak gRPC at this PATH.sock"),
    "http-socket": (str, "Sonic's own: also speak HTTP at this PATH.sock"),
    "help": (type(None), "show this"),
}
"""Those that are read: the type of their value, and what they do."""

REPEATABLE = frozenset(
    [
        "model-repository",
        "load-model",
        "backend-config",
        "cache-config",
        "metrics-config",
        "trace-config",
        "trace-level",
    ]
)

INERT = frozenset(
    """
    allow-sagemaker allow-vertex-ai backend-directory buffer-manager-thread-count cache-directory
    cuda-memory-pool-byte-size cuda-virtual-address-size enable-peer-access grpc-http2-max-ping-strikes
    grpc-http2-max-pings-without-data grpc-http2-min-recv-ping-interval-without-data grpc-infer-allocation-pool-size
    grpc-infer-response-compression-level grpc-keepalive-permit-without-calls grpc-keepalive-time
    grpc-keepalive-timeout grpc-max-connection-age grpc-max-connection-age-grace grpc-max-response-pool-size
    host-policy http-thread-count metrics-interval-ms min-supported-compute-capability model-load-gpu-limit
    model-load-retry-count model-load-thread-count model-namespacing pinned-memory-pool-byte-size rate-limit
    rate-limit-priority rate-limit-resource repoagent-directory reuse-grpc-port reuse-http-port sagemaker-port
    sagemaker-safe-port-range sagemaker-thread-count vertex-ai-default-model vertex-ai-port vertex-ai-thread-count
    """.split()  # noqa: SIM905 - forty lines otherwise
)
"""Those without meaning here: they tune what is built otherwise, or open doors that there are not."""

_OPEN = "ignoring it would leave the server open"
_MODELS = "ignoring it would change what models are given"

REFUSED = {
    "grpc-restricted-protocol": _OPEN,
    "http-restricted-api": _OPEN,
    "grpc-header-forward-pattern": _MODELS,
    "http-header-forward-pattern": _MODELS,
    "model-config-name": "ignoring it would serve models otherwise configured",
}
"""Those that are not offered and yet mean something: why none of them is ignored."""

NAMES = FLAGS.keys() | INERT | REFUSED.keys() | {"http-max-input-size"}


def usage() -> str:
    """Return the flags, a line each."""
    width = max(map(len, FLAGS)) + 2
    lines = [f"  {'--' + name:<{width}}  {text}" for name, (_, text) in FLAGS.items()]
    return "\n".join(
        [
            "Usage: sonic-tritonserver --model-repository=FOLDER [--FLAG=VALUE ...]",
            "",
            *lines,
            "",
            "Other flags of tritonserver's are ignored with a warning, but for these, which are errors:",
            *(f"  --{name}" for name in REFUSED),
        ]
    )
