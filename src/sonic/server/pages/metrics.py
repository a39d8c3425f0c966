"""The counters of all models as Prometheus reads them, under Triton's names.

They are collected when somebody asks: a request pays nothing for them. Triton's names have no ``_total``, which
prometheus_client insists on, so the lines are written here; it adds what it knows of the process.

Without a GPU there still is a series ``nv_gpu_utilization``, of value 0 and with a name for the host in place of a
GPU's: deployments count their servers by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest

from sonic.server.machine.hardware import Machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sonic.protocol.messages import ModelStatistics
    from sonic.server.dataplane import Dataplane
    from sonic.server.machine.hardware import Gpu

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_COUNTERS: tuple[tuple[str, str, Callable[[ModelStatistics], int]], ...] = (
    ("request_success", "Requests that ended in a response", lambda s: s.success.count),
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

_CACHE: tuple[tuple[str, str, Callable[[ModelStatistics], int]], ...] = (
    ("num_hits_per_model", "Requests that the cache answered", lambda s: s.cache_hit.count),
    ("num_misses_per_model", "Requests that it could not answer", lambda s: s.cache_miss.count),
    ("hit_duration_per_model", "Time spent looking up the former, in us", lambda s: s.cache_hit.total_ns // 1000),
    ("miss_duration_per_model", "Time it took to look up and keep", lambda s: s.cache_miss.total_ns // 1000),
)


_GPU: tuple[tuple[str, str, str, Callable[[Gpu], float | None]], ...] = (
    ("nv_gpu_utilization", "gauge", "Share of the time that the GPU was busy, from 0 to 1", lambda g: g.utilization),
    ("nv_gpu_memory_total_bytes", "gauge", "Memory of the GPU", lambda g: g.memory_total_bytes),
    ("nv_gpu_memory_used_bytes", "gauge", "Memory of the GPU that is used", lambda g: g.memory_used_bytes),
    ("nv_gpu_power_usage", "gauge", "Power that the GPU draws, in watts", lambda g: g.power_usage_w),
    ("nv_gpu_power_limit", "gauge", "Power that the GPU may draw, in watts", lambda g: g.power_limit_w),
    ("nv_energy_consumption", "counter", "Energy that the GPU has taken, in joules", lambda g: g.energy_j),
)


class Metrics:
    """What Prometheus gets of a server. Thread-safe.

    Parameters
    ----------
    dataplane : Dataplane
    machine : Machine, optional
    """

    def __init__(self, dataplane: Dataplane, machine: Machine | None = None) -> None:
        self._dataplane = dataplane
        self._machine = machine or Machine()
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)
        PlatformCollector(registry=self._process)

    def expose(self) -> bytes:
        """Return all series as of now, in Prometheus' text format."""
        return "".join(self._lines()).encode() + generate_latest(self._process)

    def _lines(self) -> Iterator[str]:
        models = self._dataplane.models()
        rows = [(_labels(model.spec.name, model.spec.version), model.statistics()) for model in models]
        cached = [row for model, row in zip(models, rows, strict=True) if model.config.response_cache.enable]
        counters = [(f"nv_inference_{name}", text, value, rows) for name, text, value in _COUNTERS]
        counters += [(f"nv_cache_{name}", text, value, cached) for name, text, value in _CACHE if cached]
        for name, text, value, counted in counters:
            yield from _head(name, text, "counter")
            for labels, row in counted:
                yield f"{name}{labels} {value(row)}\n"
        name = "nv_inference_request_failure"
        yield from _head(name, "Requests that ended in an error after they were accepted, by reason", "counter")
        for model in models:
            for reason, count in model.failures().items():
                yield f"{name}{_labels(model.spec.name, model.spec.version, reason=reason)} {count}\n"
        yield from _head("nv_inference_pending_request_count", "Requests that wait for an instance", "gauge")
        for model in models:
            labels = _labels(model.spec.name, model.spec.version)
            yield f"nv_inference_pending_request_count{labels} {model.pending}\n"
        yield from _head("sonic_model_info", "1 for each model that is loaded, with what executes it", "gauge")
        for model in models:
            yield f"sonic_model_info{_labels(model.spec.name, model.spec.version, platform=model.spec.platform)} 1\n"
        yield from self._gpus()
        yield from self._cpu()

    def _gpus(self) -> Iterator[str]:
        gpus = self._machine.gpus()
        if not gpus:
            name, kind, text, _ = _GPU[0]
            yield from _head(name, text, kind)
            yield f'{name}{{gpu_uuid="{self._machine.host_uuid}"}} 0\n'
        for name, kind, text, read in _GPU if gpus else ():
            yield from _head(name, text, kind)
            for gpu in gpus:
                if (value := read(gpu)) is not None:
                    yield f'{name}{{gpu_uuid="{gpu.uuid}"}} {value}\n'

    def _cpu(self) -> Iterator[str]:
        utilization, memory = self._machine.cpu_utilization(), self._machine.memory_bytes()
        for name, text, value in (
            ("utilization", "Share of processor time used since the last scrape, from 0 to 1", utilization),
            ("memory_total_bytes", "Memory of the machine", memory and memory[0]),
            ("memory_used_bytes", "Memory of the machine that is used", memory and memory[1]),
        ):
            if value is not None:
                yield from _head(f"nv_cpu_{name}", text, "gauge")
                yield f"nv_cpu_{name} {value}\n"


def _head(name: str, text: str, kind: str) -> Iterator[str]:
    yield f"# HELP {name} {text}\n"
    yield f"# TYPE {name} {kind}\n"


def _labels(model: str, version: str, **more: str) -> str:
    pairs = sorted({"model": model, "version": version, **more}.items())  # the order that Triton has
    return f"{{{','.join(f'{key}={_quoted(value)}' for key, value in pairs)}}}"


def _quoted(value: str) -> str:
    # A model is named by its folder, which may hold what the format wants escaped.
    value = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{value}"'
