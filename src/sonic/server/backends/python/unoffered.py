"""Names that a model.py may mention for what is not offered here: using them says so."""

from __future__ import annotations

from enum import Enum
from typing import Any, NoReturn

from sonic.errors import Unsupported


class MemoryType(Enum):
    """Where the tensors of a response to a call of another model are wanted."""

    TRITONSERVER_MEMORY_GPU = 0
    TRITONSERVER_MEMORY_CPU = 1


TRITONSERVER_MEMORY_GPU, TRITONSERVER_MEMORY_CPU = MemoryType


class PreferredMemory:
    """What a call of another model says of its response's memory; calls themselves are refused."""

    def __init__(self, preferred_memory_type: MemoryType, preferred_device_id: int = 0) -> None:
        self.preferred_memory_type = preferred_memory_type
        self.preferred_device_id = preferred_device_id


class MetricFamily:
    """Metrics of a model's own, which are not offered."""

    COUNTER, GAUGE, HISTOGRAM = range(3)

    def __init__(self, *_: Any, **__: Any) -> None:
        raise Unsupported("a model.py cannot make metrics of its own here")


def refuse_calls() -> NoReturn:
    """Say that there are no calls of other models."""
    raise Unsupported("a model.py cannot call other models here (BLS): put them together in an ensemble")


def _refuse_control() -> NoReturn:
    raise Unsupported("a model.py cannot load, unload or look at other models here: a client of the server can")


def is_model_ready(*_: Any, **__: Any) -> bool:
    """Refuse to look at another model."""
    _refuse_control()


def load_model(*_: Any, **__: Any) -> None:
    """Refuse to load another model."""
    _refuse_control()


def unload_model(*_: Any, **__: Any) -> None:
    """Refuse to unload another model."""
    _refuse_control()
