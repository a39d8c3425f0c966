"""`make bench-server`: what serving a model costs, by each way to the server, beside the model in process.

The server has one core, the load generator (h2load) another. Every client has one request under way at any time.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from benchmarks.server import h2load, marks, report, wire
from benchmarks.server.campaign import Campaign, Plan
from benchmarks.server.cases import CASES
from benchmarks.server.other_servers import PEERS
from benchmarks.server.processes import COMPILED_FOLDER

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_WIDTH = 120  # where there is no terminal


def main() -> int:
    """Measure what the command line asks for; exit status 1 if anything fails or misses its goal in this run."""
    options = _parser().parse_args()
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    try:
        plan = _plan(options)
        h2load.find()
    except (ValueError, h2load.MissingToolError) as error:
        console.print(f"[red]{error}[/red]")
        return 2
    with tempfile.TemporaryDirectory(prefix="sonic-bench-") as folder:
        campaign = Campaign(plan, Path(folder), lambda line: console.print(line, style="dim", markup=False))
        campaign.run()
    found = report.Report(plan, campaign, marks.Reference.read())
    found.show(console)
    found.write(options.json)
    console.print(f"written to {options.json}")
    return int(found.failed)


def _plan(options: argparse.Namespace) -> Plan:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise ValueError("two cores are needed, one for the server and one for the load generator; there is one")
    for name in options.servers:
        if name in PEERS and not PEERS[name].installed:
            raise ValueError(f"{name} is not installed: make bench-peers")
    if marks.COMPILED in options.servers and not COMPILED_FOLDER.exists():
        raise ValueError(f"{marks.COMPILED} is not there: make compiled")
    return Plan(
        [case for case in CASES if case.name in options.cases],
        options.transports,
        options.clients,
        options.servers,
        options.two_cores,
        options.repeats,
        options.seconds,
        cores,
    )


def _parser() -> argparse.ArgumentParser:
    cases, transports = [case.name for case in CASES], list(wire.TRANSPORTS)
    ours = [name for name in marks.OURS if name != marks.COMPILED or COMPILED_FOLDER.exists()]
    installed = [*ours, *(name for name, peer in PEERS.items() if peer.installed)]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.server", description=__doc__)
    parser.add_argument("--cases", type=_names(cases), default=cases, help=f"of {', '.join(cases)}")
    parser.add_argument("--transports", type=_names(transports), default=transports, help=f"of {', '.join(transports)}")
    parser.add_argument(
        "--clients", type=_client_numbers, default=[], help="numbers of clients, as 1,16; by default each case's own"
    )
    parser.add_argument(
        "--servers",
        type=_names([*marks.OURS, *PEERS]),
        default=installed,
        help=f"of {', '.join((*marks.OURS, *PEERS))}; by default those installed",
    )
    parser.add_argument(
        "--two-cores",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="also measure two instances on two cores",
    )
    parser.add_argument("--repeats", type=int, default=3, help="how often each is measured; figures are medians")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each measurement takes")
    parser.add_argument("--json", type=Path, default=Path("build/bench-server.json"), help="where the figures go")
    return parser


def _names(known: Sequence[str]) -> Callable[[str], list[str]]:
    def read(text: str) -> list[str]:
        given = text.split(",")
        unknown = sorted(set(given) - set(known))
        if unknown:
            raise argparse.ArgumentTypeError(f"no {', '.join(unknown)}; there are {', '.join(known)}")
        return given

    return read


def _client_numbers(text: str) -> list[int]:
    words = text.split(",")
    if not all(word.isdecimal() and int(word) for word in words):
        raise argparse.ArgumentTypeError(f"numbers from 1, separated by commas; given {text}")
    return [int(word) for word in words]


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # servers end with it, as with Ctrl-C
    sys.exit(main())
