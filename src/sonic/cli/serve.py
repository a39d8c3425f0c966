"""``sonic serve``: models in folders, and functions, over gRPC and HTTP."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads annotations
from typing import TYPE_CHECKING, Annotated

import typer

from sonic.server.busypoll import DEFAULT_US

if TYPE_CHECKING:
    from sonic.server.access.guard import Guard
    from sonic.server.access.tls import Tls
    from sonic.server.app import Server
    from sonic.server.models.model import ServedModel

_POLL_S = 15.0


def serve(
    repositories: Annotated[
        list[str],
        typer.Argument(
            metavar="MODELS...",
            help="Folders of models (NAME/1/model.onnx, NAME/config.pbtxt), and functions: FILE.py, FILE.py:FUNCTION "
            "or PACKAGE.MODULE:FUNCTION.",
        ),
    ],
    http_port: Annotated[int, typer.Option(help="0: any free one.")] = 8000,
    grpc_port: Annotated[int, typer.Option(help="0: any free one.")] = 8001,
    metrics_port: Annotated[int, typer.Option(help="0: any free one.")] = 8002,
    host: Annotated[str, typer.Option(help="0.0.0.0 to be reached from other machines.")] = "127.0.0.1",
    metrics: Annotated[
        bool,
        typer.Option(help="Offer metrics to everyone, on a port of their own; at /metrics of HTTP they always are."),
    ] = True,
    metrics_host: Annotated[str | None, typer.Option(help="Host for that port; by default the same.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Serve this one only; repeatable.")] = None,
    cores: Annotated[int | None, typer.Option(min=1, help="Cores for the instances of one model.")] = None,
    default_max_batch: Annotated[
        int, typer.Option(min=1, help="Largest batch of a model that can batch and has no config.pbtxt.")
    ] = 1024,
    max_queue: Annotated[
        int, typer.Option(min=0, help="Requests that may wait for a model that sets no max_queue_size; 0: no bound.")
    ] = 1024,
    max_queue_bytes: Annotated[
        int | None,
        typer.Option(min=0, help="What all requests that wait may hold; 0: no bound; by default a quarter of memory."),
    ] = None,
    cache_bytes: Annotated[
        int, typer.Option(min=0, help="Room for responses of models with response_cache; 0: none are kept.")
    ] = 64 << 20,
    exit_on_error: Annotated[
        bool, typer.Option(help="End if a model cannot be loaded; otherwise serve the others.")
    ] = True,
    strict_readiness: Annotated[
        bool, typer.Option(help="Not ready as long as a model that should be there is missing.")
    ] = True,
    model_control: Annotated[
        str,
        typer.Option(
            metavar="none|explicit|poll",
            help="explicit: clients load and unload models. poll: models follow their folders.",
            autocompletion=lambda: ["none", "explicit", "poll"],
        ),
    ] = "none",
    poll_s: Annotated[
        float | None,
        typer.Option(help="Seconds between two looks at the folders, with poll.", show_default=f"{_POLL_S:g}"),
    ] = None,
    drain_s: Annotated[
        float, typer.Option(min=0, help="Seconds that requests in hand get to end, after SIGTERM or Ctrl-C.")
    ] = 30.0,
    notice_s: Annotated[
        float,
        typer.Option(
            min=0,
            help="Seconds to go on after SIGTERM, reported as not ready, before it drains: for proxies to notice.",
        ),
    ] = 0.0,
    watch_stdin: Annotated[
        bool, typer.Option("--watch-stdin", help="Also end when standard input closes, with whoever holds it.")
    ] = False,
    ports_file: Annotated[
        Path | None, typer.Option(help="Write the ports there as JSON, once requests are taken.")
    ] = None,
    allow_client_shm: Annotated[
        bool | None,
        typer.Option(
            "--allow-client-shm/--no-allow-client-shm",
            help="Who may register shared memory: all clients, or none; by default those on this host.",
            show_default=False,
        ),
    ] = None,
    trace_file: Annotated[
        Path | None, typer.Option(help="Trace requests there, as JSON, when clients ask for it.")
    ] = None,
    grpc_socket: Annotated[Path | None, typer.Option(metavar="PATH.sock", help="Also speak gRPC there.")] = None,
    http_socket: Annotated[Path | None, typer.Option(metavar="PATH.sock", help="Also speak HTTP there.")] = None,
    max_message_bytes: Annotated[int, typer.Option(help="Largest request, decompressed.")] = 2**31 - 1,
    tls_cert: Annotated[Path | None, typer.Option(help="Encrypt both ports: the server's certificate, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key, PEM.")] = None,
    tls_client_ca: Annotated[
        Path | None, typer.Option(help="Let in only clients with a certificate of these authorities, PEM.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="Let in only clients with a bearer token that is a line of this file.")
    ] = None,
    jwt_keys: Annotated[
        Path | None, typer.Option(help="... or with a JSON Web Token signed by a key of this JSON Web Key Set.")
    ] = None,
    jwt_audience: Annotated[str | None, typer.Option(help="What such a token must be for.")] = None,
    jwt_issuer: Annotated[str | None, typer.Option(help="Who such a token must be from.")] = None,
    rate_limit: Annotated[float | None, typer.Option(help="Requests a second that each client gets.")] = None,
    rate_burst: Annotated[
        float | None, typer.Option(help="Requests at once after a pause; by default those of one second.")
    ] = None,
    busy_poll_us: Annotated[
        float,
        typer.Option(
            min=0,
            help="Microseconds to look for the next request before sleeping, if the last ones came as soon.",
        ),
    ] = DEFAULT_US,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log loading and every request.")] = False,
) -> None:
    """Serve models over the Open Inference Protocol v2, with gRPC, HTTP and metrics."""
    from sonic.errors import ConfigError
    from sonic.files import check_writable
    from sonic.server import launch
    from sonic.server.app import serve as start

    if model_control not in ("none", "explicit", "poll"):
        raise typer.BadParameter(f"none, explicit or poll, given {model_control!r}", param_hint="--model-control")
    if poll_s is not None and model_control != "poll":
        raise ConfigError("--poll-s needs --model-control poll")
    check_writable(ports_file)
    _set_up_logging(verbose)

    tls = _tls(tls_cert, tls_key, tls_client_ca)
    guard = _guard(token_file, jwt_keys, jwt_audience, jwt_issuer, rate_limit, rate_burst)

    def started(server: Server) -> None:
        _show(server)
        for name, scheme, path in (("gRPC", "grpc+unix", grpc_socket), ("HTTP", "http+unix", http_socket)):
            if path is not None:
                typer.echo(f"{name:<8} {scheme}:{path.absolute()}")
        if ports_file is not None:
            _write_ports(server, ports_file)

    drained = launch.run(
        lambda: start(
            *repositories,
            grpc_port=grpc_port,
            http_port=http_port,
            metrics_port=metrics_port if metrics else None,
            host=host,
            metrics_host=metrics_host,
            cores=cores,
            models=model or (),
            strict=exit_on_error,
            strict_readiness=strict_readiness,
            explicit=model_control == "explicit",
            poll_s=None if model_control != "poll" else _POLL_S if poll_s is None else poll_s,
            default_max_batch=default_max_batch,
            max_queue=max_queue,
            max_queue_bytes=max_queue_bytes,
            cache_bytes=cache_bytes,
            allow_client_shm=allow_client_shm,
            trace_file=trace_file,
            grpc_socket=grpc_socket,
            http_socket=http_socket,
            max_message_bytes=max_message_bytes,
            tls=tls,
            guard=guard,
            busy_poll_us=busy_poll_us,
        ),
        started,
        lambda _: typer.echo(f"draining, for at most {drain_s:g} s", err=True),
        drain_s=drain_s,
        notice_s=notice_s,
        watch_stdin=watch_stdin,
    )
    if not drained:
        launch.leave(1)


def _tls(cert: Path | None, key: Path | None, client_ca: Path | None) -> Tls | None:
    from sonic.errors import ConfigError
    from sonic.server.access.tls import Tls

    if cert is None or key is None:
        if cert is not None or key is not None or client_ca is not None:
            raise ConfigError("TLS needs both --tls-cert and --tls-key")
        return None
    return Tls(cert, key, client_ca)


def _guard(
    token_file: Path | None,
    jwt_keys: Path | None,
    audience: str | None,
    issuer: str | None,
    rate_limit: float | None,
    rate_burst: float | None,
) -> Guard | None:
    from sonic.errors import ConfigError
    from sonic.server.access.guard import Guard
    from sonic.server.access.ratelimit import RateLimit
    from sonic.server.access.tokens import Tokens

    if jwt_keys is None and (audience is not None or issuer is not None):
        raise ConfigError("--jwt-audience and --jwt-issuer need --jwt-keys")
    if rate_limit is None and rate_burst is not None:
        raise ConfigError("--rate-burst needs --rate-limit")
    if token_file is None and jwt_keys is None and rate_limit is None:
        return None
    tokens = Tokens(token_file, jwt_keys, audience=audience, issuer=issuer) if token_file or jwt_keys else None
    return Guard(tokens, None if rate_limit is None else RateLimit(rate_limit, rate_burst))


def _set_up_logging(verbose: bool) -> None:
    import logging

    logging.basicConfig(format="%(asctime)s %(levelname)-7s %(message)s", level=logging.WARNING)
    logging.getLogger("sonic").setLevel(logging.DEBUG if verbose else logging.WARNING)


def _write_ports(server: Server, path: Path) -> None:
    import json

    from sonic.files import replacing

    ports = {"grpc": server.grpc_port, "http": server.http_port, "metrics": server.metrics_port}
    with replacing(path) as part:  # whole: who waits for it reads it at once
        part.write_text(json.dumps(ports))


def _show(server: Server) -> None:
    from rich.markup import escape
    from rich.table import Table

    from sonic.cli._console import open_console

    table = Table()
    for column in ("model", "version", "state", "instances", "batch"):
        table.add_column(column, overflow="fold")
    loaded = {(model.spec.name, model.spec.version): model for model in server.dataplane.models()}
    rows = server.dataplane.index()
    for row in rows:
        served = loaded.get((row.name, row.version))
        size = ("", "") if served is None else (str(served.instances), _batch(served))
        table.add_row(escape(row.name), row.version, row.state, *size)
    open_console().print(table)
    for row in rows:
        if row.reason:
            typer.echo(f"{row.name}: {row.reason}")
    metrics_url = server.metrics_url if server.metrics_port else f"{server.http_url}/metrics"
    for name, url in (("gRPC", server.grpc_url), ("HTTP", server.http_url), ("metrics", metrics_url)):
        typer.echo(f"{name:<8} {url}")


def _batch(model: ServedModel) -> str:
    size = model.config.max_batch_size
    if not size:
        return "-"
    if not model.merges:
        return f"up to {size}, not merged"
    delay_us = model.config.dynamic_batching.max_queue_delay_microseconds
    return f"up to {size}" + (f", waits {delay_us} us" if delay_us else "")
