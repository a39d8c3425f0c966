"""The console script ``sonic-tritonserver``."""

from __future__ import annotations

import errno
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sonic.errors import ConfigError, SonicError
from sonic.server import launch
from sonic.server.access.tls import Tls
from sonic.server.app import Server
from sonic.server.busypoll import DEFAULT_US
from sonic.server.sockets import authority
from sonic.server.tritonserver import flags, known, logs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sonic.server.logsettings import LogSettings
    from sonic.server.tritonserver.flags import Settings

log = logging.getLogger("sonic.tritonserver")


def main() -> None:
    """Serve, and exit: with 0 after a drain, with 1 after an error or a drain that came to no end."""
    if status := run(sys.argv[1:]):
        launch.leave(status)


def run(arguments: Sequence[str]) -> int:
    """Serve until a signal comes, and return the exit status.

    Parameters
    ----------
    arguments : sequence of str
        Flags of tritonserver's; see :mod:`sonic.server.tritonserver.flags`.
    """
    try:
        settings = flags.parse(arguments)
        log_settings = logs.set_up(settings)
    except ConfigError as error:
        logs.set_up(flags.Settings())
        log.error("%s", error)
        return 1
    if settings.help:
        sys.stdout.write(known.usage() + "\n")
        return 0
    for warning in settings.warnings:
        log.warning("%s", warning)
    try:
        drained = launch.run(
            lambda: _start(settings, log_settings),
            lambda server: _announce(server, settings),
            lambda reason: log.info(
                "%s: Waiting for in-flight requests to complete, up to %g s", reason, settings.drain_s
            ),
            drain_s=settings.drain_s,
        )
    except SonicError as error:
        log.error("%s", _explain(error))
        return 1
    if not drained:
        log.error("the time to end in was over before all requests had ended")
        return 1
    log.info("all requests have ended")
    return 0


def _start(settings: Settings, log_settings: LogSettings) -> Server:
    return Server(
        *settings.repositories,
        grpc_port=settings.grpc_port,
        http_port=settings.http_port,
        metrics_port=settings.metrics_port,
        host=settings.http_host,
        grpc_host=settings.grpc_host,
        metrics_host=settings.metrics_host,
        cores=settings.cores,
        models=settings.models,
        strict=settings.exit_on_error,
        strict_readiness=settings.strict_readiness,
        explicit=settings.control == "explicit",
        poll_s=settings.poll_s if settings.control == "poll" else None,
        default_max_batch=settings.default_max_batch,
        max_queue=settings.max_queue,
        max_message_bytes=settings.max_message_bytes,
        cache_bytes=settings.cache_bytes,
        allow_client_shm=settings.allow_client_shm,
        trace_file=settings.trace_file,
        trace_settings=settings.trace,
        grpc_socket=settings.grpc_socket,
        http_socket=settings.http_socket,
        grpc_tls=_tls(settings),
        empty_ok=True,
        name=settings.name,
        logs=log_settings,
        busy_poll_us=DEFAULT_US,
    )


def _tls(settings: Settings) -> Tls | None:
    if settings.grpc_cert is None or settings.grpc_key is None:
        return None
    client_ca = None if settings.grpc_client_ca is None else Path(settings.grpc_client_ca)
    named = "--grpc-server-cert", "--grpc-server-key", "--grpc-root-cert"
    return Tls(Path(settings.grpc_cert), Path(settings.grpc_key), client_ca, named)


def _announce(server: Server, settings: Settings) -> None:
    for row in server.dataplane.index():
        log.info("model %r version %s: %s", row.name, row.version or "-", f"{row.state} {row.reason}".rstrip())
    for service, host, port, offered in (
        ("GRPCInferenceService", settings.grpc_host, server.grpc_port, settings.grpc_port),
        ("HTTPService", settings.http_host, server.http_port, settings.http_port),
        ("Metrics Service", settings.metrics_host, server.metrics_port, settings.metrics_port),
    ):
        if offered is not None:
            log.info("Started %s at %s", service, authority(host, port))


def _explain(error: SonicError) -> str:
    cause = error.__cause__
    taken = isinstance(cause, OSError) and cause.errno == errno.EADDRINUSE
    return f"Address already in use: {error}" if taken else str(error)
