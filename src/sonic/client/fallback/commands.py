"""Command lines of container engines, and what they print. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sonic.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sonic.client.fallback.description import Fallback

ENGINES = ("apptainer", "docker", "podman")
"""In the order in which they are looked for: what batch nodes have comes first."""

MODELS = "/models"
"""Where the folder of models is found in a container. It cannot be written to."""

PORT = 8001
"""Of gRPC, in a container with a network of its own."""


def shares_network(engine: str) -> bool:
    """Whether a container has the host's ports, so that it must be given one that is free."""
    return engine == "apptainer"


def run_command(
    fallback: Fallback, engine: str, name: str, *, folder: str, port: int = PORT, user: tuple[int, int] | None = None
) -> list[str]:
    """Return the command that runs the server in a container, in the foreground.

    Parameters
    ----------
    fallback : Fallback
    engine : str
        One of :data:`ENGINES`.
    name : str
        Of the container; the server calls itself so too, that it can be told from another on the same port.
    folder : str
        Absolute path of the models.
    port : int
        For gRPC, where the container shares the host's network.
    user : tuple of int, optional
        Whose numbers the server runs under, user and group; apptainer's containers have those of who starts them.

    Raises
    ------
    ConfigError
        If the folder's path is one that engines cannot take.
    """
    if "," in folder or '"' in folder:  # a mount is a line of comma-separated values
        raise ConfigError(f"a container cannot be given {folder}: its path has a comma or a quotation mark")
    alone = not shares_network(engine)
    command = [engine]
    if alone:
        command += ["run", "--rm", "--init", "--name", name, "--publish", f"127.0.0.1::{PORT}"]
        command += ["--mount", f"type=bind,source={folder},target={MODELS},readonly"]
        command += ["--read-only", "--tmpfs", "/tmp"]  # noqa: S108 - the container's own
        command += ["--security-opt", "label=disable"]  # else SELinux hides the models, unless they are relabelled
        if user is not None:
            command += ["--user", "{}:{}".format(*user)]
        if engine == "podman":
            command += ["--userns", "keep-id"]  # else that user is another one, who may not read the models
        if fallback.cores is not None:
            command += ["--cpus", str(fallback.cores)]
    else:
        command += ["exec", "--cleanenv", "--no-home"]
        command += ["--mount", f"type=bind,source={folder},destination={MODELS},ro"]
    if fallback.cores is not None:
        command += ["--env", f"OMP_NUM_THREADS={fallback.cores}"]
    command += [*fallback.engine_options, fallback.image, *fallback.command]
    return command + _server_options(fallback, name, "0.0.0.0" if alone else "127.0.0.1", PORT if alone else port)  # noqa: S104


def _server_options(fallback: Fallback, name: str, host: str, port: int) -> list[str]:
    return [
        f"--model-repository={MODELS}",
        "--model-control-mode=explicit",
        f"--id={name}",
        f"--grpc-address={host}",
        f"--grpc-port={port}",
        "--allow-http=false",
        "--allow-metrics=false",
        *fallback.options,
    ]


def stop_command(engine: str, name: str) -> list[str]:
    """Return the command that ends a container whoever started it; empty if it ends with the engine's process."""
    return [] if shares_network(engine) else [engine, "rm", "--force", name]


def port_command(engine: str, name: str) -> list[str]:
    """Return the command that says which port of the host is the container's."""
    return [engine, "port", name, f"{PORT}/tcp"]


def published_port(printed: str) -> int | None:
    """Read what that command prints; None if no port is published yet."""
    ports: Sequence[str] = re.findall(r"(?m)^\S*:(\d+)\s*$", printed)
    return int(ports[0]) if ports and 0 < int(ports[0]) < 65536 else None


def port_taken(log: str) -> bool:
    """Whether a server's log says that somebody else has its port."""
    return re.search(r"already in use", log, re.IGNORECASE) is not None
