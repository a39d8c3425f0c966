"""h2load as the load generator: its command line, and what it prints."""

from __future__ import annotations

import re
import resource
import shutil
import subprocess
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from benchmarks.common import pinned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.server.wire import Request

_REQUESTS = re.compile(
    r"requests: \d+ total, \d+ started, (?P<done>\d+) done, (?P<succeeded>\d+) succeeded, "
    r"(?P<failed>\d+) failed, (?P<errored>\d+) errored, (?P<timeout>\d+) timeout"
)
_STATUS = re.compile(r"status codes: (?P<ok>\d+) 2xx, (?P<moved>\d+) 3xx, (?P<refused>\d+) 4xx, (?P<broken>\d+) 5xx")
_DATA = re.compile(r"\((?P<bytes>\d+)\) data")
_ELAPSED = re.compile(r"finished in (?P<number>[\d.]+)(?P<unit>us|ms|s|m|h)\b")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_GRACE_S = 60.0


class MissingToolError(RuntimeError):
    """h2load is not installed."""


@dataclass(frozen=True)
class Load:
    """What h2load counted.

    Parameters
    ----------
    done : int
        Answers that came to their end.
    failed : int
        Answers with another status than 2xx, requests that broke off, and timeouts.
    data_bytes : int
        Bytes of the bodies of all answers.
    elapsed_s : float
    cpu_s : float
        Processor time that h2load itself took.
    """

    done: int
    failed: int
    data_bytes: int
    elapsed_s: float
    cpu_s: float = 0.0


def find() -> str:
    """Return the path of h2load.

    Raises
    ------
    MissingToolError
        With how to get it.
    """
    path = shutil.which("h2load")
    if path is None:
        raise MissingToolError("h2load is not installed: it comes with nghttp2 (Debian and Ubuntu: nghttp2-client)")
    return path


def parse(text: str) -> Load:
    """Read what h2load printed.

    Raises
    ------
    RuntimeError
        If it is not a report of h2load.
    """
    requests, status, data, elapsed = (pattern.search(text) for pattern in (_REQUESTS, _STATUS, _DATA, _ELAPSED))
    if requests is None or status is None or data is None or elapsed is None:
        raise RuntimeError(f"h2load printed no report:\n{text}")
    numbers = {name: int(value) for found in (requests, status, data) for name, value in found.groupdict().items()}
    answered_wrong = numbers["moved"] + numbers["refused"] + numbers["broken"]
    return Load(
        numbers["done"],
        max(numbers["done"] - numbers["succeeded"], answered_wrong) + numbers["errored"] + numbers["timeout"],
        numbers["bytes"],
        float(elapsed["number"]) * _SECONDS[elapsed["unit"]],
    )


def command(request: Request, clients: int, seconds: float) -> list[str]:
    """Return the command line that repeats a request from so many clients, one at a time each."""
    words = [find(), "-c", str(clients), "-m", "1", "-t", "1", "-D", f"{round(1000 * seconds)}ms"]
    words += ["-d", str(request.body)]
    # Windows that never hold anybody up: what is measured is the server, not the generator's buffers.
    words += ["--h1"] if request.http1 else ["-w", "30", "-W", "30"]
    for name, value in request.headers.items():
        words += ["-H", f"{name}: {value}"]
    if request.socket:
        words += ["-B", f"unix:{request.socket}"]
    return [*words, request.url]


def run(request: Request, clients: int, seconds: float, cores: Sequence[int]) -> Load:
    """Put load on a server from a process on these cores.

    Raises
    ------
    RuntimeError
        If h2load fails, with what it printed.
    """
    before_s = _children_s()
    with pinned(cores):
        done = subprocess.run(
            command(request, clients, seconds), capture_output=True, text=True, check=False, timeout=seconds + _GRACE_S
        )
    if done.returncode:
        raise RuntimeError(f"h2load ended with status {done.returncode}:\n{done.stdout}{done.stderr}")
    return replace(parse(done.stdout), cpu_s=_children_s() - before_s)


def _children_s() -> float:
    """Processor time of all child processes that have ended, in seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
