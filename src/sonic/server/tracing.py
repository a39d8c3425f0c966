"""Which requests are traced, and their traces: the trace extension of the Open Inference Protocol.

A trace is when a request began to wait, was computed and ended, in nanoseconds of one clock; the file is a list of
them in JSON, whole after every trace.
"""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sonic.errors import ConfigError, InvalidRequest, Unsupported, shown

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from sonic.protocol.messages import InferRequest
    from sonic.server.execution.plan import Execution

    Settings = dict[str, tuple[str, ...]]

_LEVELS = ("OFF", "TIMESTAMPS")
_SMALLEST = {"trace_rate": 1, "trace_count": -1, "log_frequency": 0}
_DEFAULTS: Settings = {
    "trace_file": ("",),
    "trace_level": ("OFF",),
    "trace_rate": ("1000",),
    "trace_count": ("-1",),
    "log_frequency": ("0",),
    "trace_mode": ("triton",),
}
_FIXED = ("trace_file", "trace_mode")


class Trace:
    """One request that is traced."""

    def __init__(self, number: int, request: InferRequest, version: str, file: _TraceFile) -> None:
        self._number = number
        self._request = request.model, int(version), request.id
        self._file = file
        self._times: list[tuple[str, int]] = []
        self._start_ns = time.perf_counter_ns()

    def observe(self, done: Execution) -> None:
        """Take the times of the execution that has just ended."""
        end = time.perf_counter_ns()
        output = end - done.output_ns
        infer = output - done.infer_ns
        start = infer - done.input_ns
        self._times = [
            ("COMPUTE_START", start),
            ("COMPUTE_INPUT_END", infer),
            ("COMPUTE_OUTPUT_START", output),
            ("COMPUTE_END", end),
        ]

    def end(self) -> None:
        """Write it; the request has ended."""
        times = [("REQUEST_START", self._start_ns), ("QUEUE_START", self._start_ns), *self._times]
        times.append(("REQUEST_END", time.perf_counter_ns()))
        model, version, request = self._request
        self._file.append(
            {
                "id": self._number,
                "model_name": model,
                "model_version": version,
                "request_id": request,
                "timestamps": [{"name": name, "ns": ns} for name, ns in times],
            }
        )


class Tracer:
    """The settings, of the server and of single models, and the sampling that they ask for. Thread-safe.

    Parameters
    ----------
    file : path or None
        Where traces are written; None: nothing can be traced.
    settings : mapping of str to str or None
        Those of the server at the start, where they are not the protocol's defaults.

    Raises
    ------
    ConfigError
        If the file cannot be written, or a setting makes no sense.
    """

    def __init__(self, file: str | os.PathLike[str] | None = None, settings: Mapping[str, str] | None = None) -> None:
        self._lock = threading.Lock()
        self._file = None if file is None else _TraceFile(Path(file))
        self._common: Settings = {**_DEFAULTS, "trace_file": ("" if file is None else str(file),)}
        self._own: dict[str, Settings] = {}
        self._seen: dict[str, int] = {}
        self._taken: dict[str, int] = {}
        self._number = 0
        self.active = False
        """Whether any request may be traced."""
        try:
            self.update({name: (value,) for name, value in (settings or {}).items()})
        except (InvalidRequest, Unsupported) as error:
            raise ConfigError(str(error)) from error
        self._start = dict(self._common)

    @property
    def offered(self) -> bool:
        """Whether there is a file to write to."""
        return self._file is not None

    def read(self, model: str = "") -> Settings:
        """Return every setting, of the server or as it is for a model."""
        with self._lock:
            return self._of(model)

    def update(self, changes: Mapping[str, Sequence[str] | None], model: str = "") -> Settings:
        """Change some, or none if one of them makes no sense, and return all.

        Parameters
        ----------
        changes : mapping
            None: as the server has it, or for the server as it was at the start.
        model : str
            Empty: for every model that has no setting of its own.

        Raises
        ------
        InvalidRequest
            If there is no such setting, or not that value of it.
        Unsupported
            If it is one that clients may not change, or there is no file to write traces to.
        """
        for name, values in changes.items():
            self._check(name, values)
        with self._lock:
            target = self._own.setdefault(model, {}) if model else self._common
            for name, values in changes.items():
                if values is not None:
                    target[name] = tuple(values)
                elif model:
                    target.pop(name, None)
                elif name not in _FIXED:
                    target[name] = self._start[name]
            for counted in (self._seen, self._taken):
                if model:
                    counted.pop(model, None)
                else:
                    counted.clear()
            every = [self._common, *self._own.values()]
            self.active = any(settings.get("trace_level", ("OFF",)) != ("OFF",) for settings in every)
            return self._of(model)

    def sample(self, request: InferRequest, version: str) -> Trace | None:
        """Begin the trace of a request, if it is one to be traced, by the version of its model that gets it."""
        with self._lock:
            settings = self._of(request.model)
            if self._file is None or settings["trace_level"] == ("OFF",):
                return None
            seen = self._seen[request.model] = self._seen.get(request.model, 0) + 1
            if seen % int(settings["trace_rate"][0]) or settings["trace_count"] == ("0",):
                return None
            self._taken[request.model] = self._taken.get(request.model, 0) + 1
            self._number += 1
            self._file.frequency = int(settings["log_frequency"][0])
            return Trace(self._number, request, version, self._file)

    def _of(self, model: str) -> Settings:
        settings = {**self._common, **self._own.get(model, {})}
        count = int(settings["trace_count"][0])
        if count > 0:
            settings["trace_count"] = (str(max(0, count - self._taken.get(model, 0))),)
        return settings

    def _check(self, name: str, values: Sequence[str] | None) -> None:
        if name not in self._common:
            raise InvalidRequest(f"no trace setting {shown(name)}: there is {', '.join(self._common)}")
        if name in _FIXED:
            if values is not None and tuple(values) != self._common[name]:
                what = name.replace("_", " ").replace("file", "file location")
                raise Unsupported(f"{name}: {what} can not be updated through network protocol")
        elif values is None:
            return
        elif name == "trace_level":
            if "TENSORS" in values:
                raise Unsupported(f"{name} TENSORS is not offered: times are traced, and no tensors")
            if not values or any(value not in _LEVELS for value in values) or len(values) > 1:
                raise InvalidRequest(
                    f"trace setting {name} is {' or '.join(_LEVELS)}, given {shown(', '.join(values))}"
                )
            if tuple(values) != ("OFF",) and self._file is None:
                raise Unsupported("there is no file for traces: the server was not started with --trace-file")
        elif len(values) != 1 or not _is_number(values[0]) or int(values[0]) < _SMALLEST[name]:
            smallest = _SMALLEST[name]
            raise InvalidRequest(f"trace setting {name} is a number from {smallest}, given {shown(', '.join(values))}")


class _TraceFile:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._written = 0
        self.frequency = 0
        """Traces to a file, which then has a number behind its name; 0: all in one."""
        try:
            path.write_text("[]")
        except OSError as error:
            raise ConfigError(f"cannot write traces to {path}: {error.strerror}") from error

    def append(self, trace: object) -> None:
        with self._lock:
            number, first = divmod(self._written, self.frequency) if self.frequency else (None, self._written)
            path = self._path if number is None else self._path.with_name(f"{self._path.name}.{number}")
            self._written += 1
            if not first or not path.exists():
                path.write_text(f"[{json.dumps(trace)}]")
                return
            with path.open("r+b") as file:
                file.seek(-1, 2)
                file.write(f",\n{json.dumps(trace)}]".encode())


def _is_number(text: str) -> bool:
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdecimal() and len(digits) < 10
