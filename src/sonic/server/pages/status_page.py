"""What a person sees of a server in a browser: a page at ``/``, and the numbers it draws at ``/status.json``.

The numbers are counters since a model was loaded, as in the metrics; the page makes rates of two answers.
"""

from __future__ import annotations

import base64
import hashlib
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from sonic.server.machine.hardware import Machine

if TYPE_CHECKING:
    from starlette.requests import Request

    from sonic.server.dataplane import Dataplane

PAGE = Path(__file__).with_name("status.html")


def routes(dataplane: Dataplane, metrics_port: int | None = None) -> list[Route]:
    """Return the routes of the page.

    Parameters
    ----------
    dataplane : Dataplane
    metrics_port : int or None
        Where the metrics are, for those who ask; None if they are not offered.
    """
    page = PAGE.read_text(encoding="utf-8")
    headers = {"Cache-Control": "no-cache", "Content-Security-Policy": _policy(page), "Referrer-Policy": "no-referrer"}
    machine, start_s = Machine(), time.monotonic()

    async def show(_: Request) -> Response:
        return Response(page, headers=headers, media_type="text/html")

    async def numbers(_: Request) -> Response:
        now = snapshot(dataplane, machine, time.monotonic() - start_s) | {"metrics_port": metrics_port}
        return Response(msgspec.json.encode(now), headers={"Cache-Control": "no-store"}, media_type="application/json")

    return [Route("/", show), Route("/status.json", numbers)]


def snapshot(dataplane: Dataplane, machine: Machine, uptime_s: float) -> dict[str, Any]:
    """Return what the page shows, as of now.

    Parameters
    ----------
    dataplane : Dataplane
    machine : Machine
    uptime_s : float
        Time since the server began to answer; the clock that its counters are to be divided by.
    """
    served = {(model.spec.name, model.spec.version): model for model in dataplane.models()}
    models: list[dict[str, Any]] = []
    for row in dataplane.index():
        entry: dict[str, Any] = {"name": row.name, "version": row.version, "state": row.state, "reason": row.reason}
        if (model := served.get((row.name, row.version))) is not None:
            done = model.statistics()
            entry |= {
                "instances": model.instances,
                "max_batch_size": model.config.max_batch_size,
                "pending": model.pending,
                "success": done.success.count,
                "failure": done.fail.count,
                "rows": done.inference_count,
                "executions": done.execution_count,
                "request_us": done.success.total_ns // 1000,
                "queue_us": done.queue.total_ns // 1000,
                "compute_us": (done.compute_input.total_ns + done.compute_infer.total_ns + done.compute_output.total_ns)
                // 1000,
            }
        models.append(entry)
    info = dataplane.server_info()
    state = "ready" if dataplane.ready() else "not ready" if dataplane.accepting else "draining"
    return {
        "server": {"name": info.name, "version": info.version, "state": state, "uptime_s": uptime_s},
        "cpu_utilization": machine.cpu_utilization(),
        "memory_bytes": machine.memory_bytes(),
        "models": models,
    }


def _policy(page: str) -> str:
    """Allow the page its own script and style, and nothing else."""
    hashes = {
        tag: f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for tag, text in re.findall(r"<(script|style)>(.*?)</\1>", page, re.DOTALL)
    }
    return (
        f"default-src 'none'; script-src {hashes['script']}; style-src {hashes['style']}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    )
