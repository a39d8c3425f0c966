"""The configuration that a model.py completes, under the names of Triton's Python backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sonic.protocol.proto.model_config_pb2 import DataType
from sonic.protocol.protojson import to_document

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sonic.protocol.proto.model_config_pb2 import ModelConfig as Config


class ModelConfig:
    """What ``auto_complete_config`` is given and gives back: the configuration to be completed."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def write_to(self, config: Config) -> None:
        """Make a configuration the completed one."""
        if config is not self._config:
            config.CopyFrom(self._config)

    def as_dict(self) -> dict[str, Any]:
        """Return the configuration as the JSON document that ``initialize`` gets."""
        return to_document(self._config)

    def set_max_batch_size(self, max_batch_size: int) -> None:
        """Set the largest batch; it cannot be below what config.pbtxt says."""
        if self._config.max_batch_size > max_batch_size:
            raise ValueError(f"config.pbtxt says max_batch_size {self._config.max_batch_size}, given {max_batch_size}")
        self._config.max_batch_size = max_batch_size

    def set_dynamic_batching(self) -> None:
        """Let the server put requests together, unless config.pbtxt says how to schedule."""
        if self._config.WhichOneof("scheduling_choice") is None:
            self._config.dynamic_batching.SetInParent()

    def set_model_transaction_policy(self, policy: Mapping[str, Any]) -> None:
        """Say whether responses are decoupled: the server refuses a model of which they are."""
        self._config.model_transaction_policy.decoupled = bool(policy.get("decoupled", False))

    def add_input(self, tensor: Mapping[str, Any]) -> None:
        """Add an input, e.g. ``{"name": "x", "data_type": "TYPE_FP32", "dims": [4], "optional": False}``.

        One that config.pbtxt has keeps what is said there, and gets what is not.
        """
        self._add("input", tensor)

    def add_output(self, tensor: Mapping[str, Any]) -> None:
        """Add an output, as :meth:`add_input`."""
        self._add("output", tensor)

    def _add(self, what: str, tensor: Mapping[str, Any]) -> None:
        for key in ("name", "data_type", "dims"):
            if key not in tensor:
                raise ValueError(f"an {what} has no {key}, given {dict(tensor)}")
        listed: Any = getattr(self._config, what)
        data_type, dims = DataType.Value(tensor["data_type"]), list(tensor["dims"])
        for existing in listed:
            if existing.name == tensor["name"]:
                if existing.data_type not in (DataType.TYPE_INVALID, data_type) or list(existing.dims) not in (
                    [],
                    dims,
                ):
                    raise ValueError(f"{what} {existing.name!r} is in config.pbtxt already, and another one")
                existing.data_type = data_type
                existing.dims[:] = dims
                return
        added = listed.add(name=tensor["name"], data_type=data_type, dims=dims)
        if what == "input":
            added.optional = bool(tensor.get("optional", False))
