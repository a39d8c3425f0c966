"""Stands in for docker, podman and apptainer: checks what it is asked for, and runs the server without a container.

As with the real ones, a container of docker's or podman's is not a child of the command that ran it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

ENGINE = Path(sys.argv[0]).name
STATE = Path(sys.argv[0]).parent / "state"
SERVER = [sys.executable, "-c", "from sonic.server.tritonserver import main; main()"]


def main(arguments: list[str]) -> int:
    STATE.mkdir(exist_ok=True)
    match arguments:
        case ["exec", *rest] if ENGINE == "apptainer":
            return exec_apptainer(rest)
        case ["run", *rest] if ENGINE != "apptainer":
            return run(rest)
        case ["port", name, "8001/tcp"] if (STATE / name).exists():
            sys.stdout.write(f"127.0.0.1:{json.loads((STATE / name).read_text())['port']}\n")
            return 0
        case ["rm", "--force", name]:
            return remove(name)
    sys.stderr.write(f"{ENGINE}: cannot do {arguments}\n")
    return 1


def split(arguments: list[str], *, valued: set[str], bare: set[str]) -> tuple[dict[str, str], list[str]]:
    """Options of the engine; image and what it is to run."""
    options: dict[str, str] = {}
    while arguments[0].startswith("--"):
        name = arguments.pop(0)
        assert name in valued | bare, name
        options[name] = arguments.pop(0) if name in valued else ""
    return options, arguments


def server(command: list[str], source: str) -> list[str]:
    image, program, *flags = command
    if image != "triton.sif":
        sys.exit(f"{ENGINE}: no such image: {image}")
    assert program == "tritonserver"
    assert "--model-repository=/models" in flags
    return [*SERVER, *(flag.replace("=/models", f"={source}") for flag in flags)]


def source_of(mount: str, target: str, only_read: str) -> str:
    kind, source, to, mode = mount.split(",")
    assert (kind, to, mode) == ("type=bind", f"{target}=/models", only_read), mount
    return source.removeprefix("source=")


def exec_apptainer(arguments: list[str]) -> int:
    options, command = split(arguments, valued={"--mount", "--env"}, bare={"--cleanenv", "--no-home", "--nv"})
    assert {"--cleanenv", "--no-home"} <= options.keys()
    source = source_of(options["--mount"], "destination", "ro")
    os.execv(sys.executable, server(command, source))


def run(arguments: list[str]) -> int:
    valued = {"--name", "--publish", "--mount", "--tmpfs", "--security-opt", "--user", "--userns", "--cpus", "--env"}
    options, command = split(arguments, valued=valued, bare={"--rm", "--init", "--read-only"})
    assert {"--rm", "--init", "--read-only"} <= options.keys()
    assert options["--user"] == f"{os.getuid()}:{os.getgid()}"
    assert options["--publish"] == "127.0.0.1::8001"
    assert ("--userns" in options) == (ENGINE == "podman")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    program = server(command, source_of(options["--mount"], "target", "readonly"))
    assert {"--grpc-port=8001", "--grpc-address=0.0.0.0"} <= set(program)
    program += [f"--grpc-port={port}", "--grpc-address=127.0.0.1"]
    asked = []
    signal.signal(signal.SIGTERM, lambda *_: asked.append(True))  # not lost, should it come before the container
    container = subprocess.Popen(program, stdin=subprocess.DEVNULL, start_new_session=True)
    note = STATE / options["--name"]
    part = note.with_suffix(".part")
    part.write_text(json.dumps({"pid": container.pid, "port": port}))
    part.replace(note)
    signal.signal(signal.SIGTERM, lambda *_: container.terminate())
    if asked:
        container.terminate()
    status = container.wait()
    note.unlink(missing_ok=True)
    return status if status >= 0 else 128 - status


def remove(name: str) -> int:
    try:
        os.kill(json.loads((STATE / name).read_text())["pid"], signal.SIGKILL)
    except (FileNotFoundError, ProcessLookupError):
        sys.stderr.write(f"{ENGINE}: no such container: {name}\n")
        return 1
    (STATE / name).unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
