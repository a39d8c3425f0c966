"""The counters of all models as Prometheus reads them, under Triton's names.

They are collected when somebody asks: a request pays nothing for them. Triton's names have no ``_total``, which
prometheus_client insists on, so the lines are written here; it adds what it knows of the process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sonic.protocol.messages import ModelStatistics
    from sonic.server.dataplane import Dataplane

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_COUNTERS: tuple[tuple[str, str, Callable[[ModelStatistics], int]], ...] = (
    ("request_success", "Requests that ended in a response", lambda s: s.success.count),
    ("request_failure", "Requests that ended in an error after they were accepted", lambda s: s.fail.count),
    ("count", "Rows of the requests that ended in a response", lambda s: s.inference_count),
    ("exec_count", "Executions of the model", lambda s: s.execution_count),
    (
        "request_duration_us",
        "Time to the response, summed over requests",
        lambda s: s.success.total_ns // 1000,
    ),
    ("queue_duration_us", "Time spent waiting, summed over requests", lambda s: s.queue.total_ns // 1000),
    ("compute_input_duration_us", "Time spent merging inputs, likewise", lambda s: s.compute_input.total_ns // 1000),
    ("compute_infer_duration_us", "Time spent in the model, likewise", lambda s: s.compute_infer.total_ns // 1000),
    ("compute_output_duration_us", "Time spent parting outputs, likewise", lambda s: s.compute_output.total_ns // 1000),
)


class Metrics:
    """What Prometheus gets of a server.

    Parameters
    ----------
    dataplane : Dataplane
    """

    def __init__(self, dataplane: Dataplane) -> None:
        self._dataplane = dataplane
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)
        PlatformCollector(registry=self._process)

    def expose(self) -> bytes:
        """Return all series as of now, in Prometheus' text format."""
        return "".join(self._lines()).encode() + generate_latest(self._process)

    def _lines(self) -> Iterator[str]:
        models = self._dataplane.models()
        rows = [(_labels(model.spec.name, model.spec.version), model.statistics()) for model in models]
        for name, text, value in _COUNTERS:
            yield from _head(name, text, "counter")
            for labels, row in rows:
                yield f"nv_inference_{name}{labels} {value(row)}\n"
        yield from _head("pending_request_count", "Requests that wait for an instance", "gauge")
        for model in models:
            labels = _labels(model.spec.name, model.spec.version)
            yield f"nv_inference_pending_request_count{labels} {model.pending}\n"


def _head(name: str, text: str, kind: str) -> Iterator[str]:
    yield f"# HELP nv_inference_{name} {text}\n"
    yield f"# TYPE nv_inference_{name} {kind}\n"


def _labels(model: str, version: str) -> str:
    # A model is named by its folder, which may hold what the format wants escaped.
    model = model.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{{model="{model}",version="{version}"}}'
