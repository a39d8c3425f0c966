"""A backend that returns its inputs: for tests, and to measure everything but the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sonic.errors import ConfigError
from sonic.server.backends.base import Backend, instance_count
from sonic.server.execution.instances import Instance

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from sonic.server.backends.base import LoadContext


class IdentityBackend(Backend):
    """Gives the n-th input back as the n-th output; config.pbtxt names both."""

    platform: ClassVar[str] = "identity"
    steady: bool = True

    def __init__(self, context: LoadContext) -> None:
        config = context.config
        if len(config.input) != len(config.output) or not config.input:
            raise ConfigError(
                f"an identity model has as many outputs as inputs, given {len(config.output)} and {len(config.input)}"
            )
        self._names = {i.name: o.name for i, o in zip(config.input, config.output, strict=True)}
        self._count = instance_count(config, context.cores)

    def instances(self) -> Sequence[Instance]:
        """Return as many as config.pbtxt asks for, or one a core."""
        return [_Copy(self._names)] * self._count


class _Copy(Instance):
    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names

    def run(self, inputs: Mapping[str, np.ndarray], wanted: Sequence[str]) -> Mapping[str, np.ndarray]:  # noqa: ARG002
        # What came off the wire nobody can write to: no copy is needed to keep it.
        return {self._names[name]: array.copy() if array.flags.writeable else array for name, array in inputs.items()}
