"""Fuzz for some time each: the readers of bytes with atheris, and a live server with what hypothesis draws."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from fuzz import live
from fuzz.drawn import DRAWN
from fuzz.targets import TARGETS

FOLDER = Path("build") / "fuzz"
_OPTIONS = ("-timeout=20", "-rss_limit_mb=2048", "-max_len=8192", "-print_final_stats=1")
_ROW = "{:<22} {:>10} {:>9}  {}"


def main() -> int:
    """Print a row for each target; return 1 if there was a fault."""
    drawn = [f"{name}-drawn" for name in DRAWN]
    every = [*TARGETS, *drawn, *live.NAMES]
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(every)}; all if there is none")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    arguments = parser.parse_args()
    for name in arguments.names:
        if name not in every:
            parser.error(f"no target {name}: there is {', '.join(every)}")
    print(_ROW.format("target", "inputs", "a second", ""))
    faults = 0
    for name in arguments.names or every:
        start = time.monotonic()
        count, fault = (_live if name in live.NAMES else _reader)(name, arguments.seconds)
        rate = count / max(1e-9, time.monotonic() - start)
        print(_ROW.format(name, count, round(rate), "a fault" if fault else "no fault"), flush=True)
        if fault:
            faults += 1
            print(fault)
    return 1 if faults else 0


def _reader(name: str, seconds: int) -> tuple[int, str]:
    if find_spec("atheris") is None:
        return (
            0,
            "atheris is not installed: pip install 'sonic-hep[fuzz]', which has it for Python 3.11 to 3.13 on Linux",
        )
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "fuzz.codecs", name, str(folder), f"-max_total_time={seconds}", *_OPTIONS]
    done = subprocess.run(
        [*command, f"-artifact_prefix={folder}/corpus/"], capture_output=True, text=True, check=False, errors="replace"
    )
    found = re.search(r"stat::number_of_executed_units:\s+(\d+)", done.stderr)
    count = int(found[1]) if found else 0
    if done.returncode == 0:
        return count, ""
    begin = done.stderr.find("=== Uncaught")
    return count, done.stderr[max(begin, len(done.stderr) - 4000) :]


def _live(name: str, seconds: int) -> tuple[int, str]:
    try:
        return live.fuzz(name, seconds), ""
    except AssertionError as error:
        notes = "\n".join(getattr(error, "__notes__", ()))
        return 0, f"{error}\n{notes}"


if __name__ == "__main__":
    sys.exit(main())
