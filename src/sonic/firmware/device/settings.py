"""Which card a model asks for, in ``parameters`` of its config.pbtxt."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from threading import TIMEOUT_MAX
from typing import TYPE_CHECKING, Any

from sonic.errors import ConfigError
from sonic.firmware.device.layout import Layout
from sonic.firmware.device.modelled import ModelledCard
from sonic.firmware.device.timing import CardModel
from sonic.firmware.device.xrt import XrtCard
from sonic.server.backends.base import choice_parameter, int_parameter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sonic.firmware.build import Firmware
    from sonic.firmware.device.card import Answer, Card
    from sonic.protocol.messages import Parameter
    from sonic.protocol.proto.model_config_pb2 import ModelConfig
    from sonic.server.backends.base import LoadContext

DEVICES = ("emulator", "modelled", "xrt")
XCLBIN = "card.xclbin"
"""A card's firmware, in the version's folder."""
MODELLED = "sonic_modelled"
"""Parameter of configurations and responses that says so."""
DELAY_US = 100
"""That a request waits for company, where its owner says nothing: a tenth of what a block takes."""
_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Device:
    """What a configuration asks for.

    Parameters
    ----------
    kind : str
        One of :data:`DEVICES`.
    model : CardModel
        Of a real card only block, units and buffers count.
    timeout_s : float
        How long a block may take, and a wait for a buffer.
    """

    kind: str
    model: CardModel
    timeout_s: float

    def amend(self, config: ModelConfig) -> None:
        """Write into a configuration what it is, and where its owner says nothing, batches as large as a block.

        For a card they also wait a little: a block takes as long however many rows it has.
        """
        if self.kind != "emulator":
            config.platform = f"fpga_{self.kind}"
        if self.kind == "modelled":
            config.parameters[MODELLED].string_value = "true"
        if not config.max_batch_size and not config.input and not config.output:
            config.max_batch_size = self.model.block
            if config.WhichOneof("scheduling_choice") is None:
                config.dynamic_batching.SetInParent()
                if self.kind != "emulator":
                    config.dynamic_batching.preferred_batch_size.append(self.model.block)
                    config.dynamic_batching.max_queue_delay_microseconds = DELAY_US

    def open(self, context: LoadContext, firmware: Firmware) -> Card[Any] | None:
        """Open the card; None: an emulator it is.

        Raises
        ------
        ConfigError
            If it cannot be had, with what remains.
        """
        if self.kind == "emulator":
            return None
        if self.kind == "modelled":
            return ModelledCard(context.name, self.model, firmware.emulator(), cores=context.cores)
        layout = Layout.of(firmware.network, firmware.precision, self.model.block)
        names = _words(context.config, "compute_units")
        index = int_parameter(context.config, "card", 0)
        return XrtCard(
            context.name,
            context.folder / XCLBIN,
            layout,
            units=names or self.model.units,
            buffers=self.model.buffers,
            index=index,
        )


def read(config: ModelConfig, firmware: Firmware) -> Device:
    """Return what a configuration asks for.

    Parameters
    ----------
    config : ModelConfig
        Its parameters ``device``, ``timeout_s``, and those of :class:`~sonic.firmware.device.timing.CardModel`.
    firmware : Firmware
        Whose rows are as large as its numbers make them.

    Raises
    ------
    ConfigError
        If it makes no sense.
    """
    kind = choice_parameter(config, "device", DEVICES)
    model = CardModel()
    given = {each.name: _number(config, each.name, getattr(model, each.name)) for each in fields(model)}
    layout = Layout.of(firmware.network, firmware.precision, int(given["block"]))
    for name in ("row_bytes_in", "row_bytes_out"):
        if name not in config.parameters:
            given[name] = getattr(layout, name)
    timeout_s = _number(config, "timeout_s", _TIMEOUT_S)
    if not 0 < timeout_s <= TIMEOUT_MAX:
        raise ConfigError(f"parameter timeout_s is above zero, and {TIMEOUT_MAX:.0e} at most, given {timeout_s:g}")
    return Device(kind, replace(model, **given), timeout_s)


def labels(answers: Sequence[Answer]) -> Mapping[str, Parameter]:
    """Return what a response says besides: nothing of a real card; else that it is modelled, and the time.

    ``sonic_modelled_us`` is how long the modelled card takes, and ``sonic_late_us`` how much longer this took.
    """
    modelled_s = sum(answer.modelled_s or 0.0 for answer in answers)
    if not modelled_s:
        return {}
    late_s = sum(answer.late_s for answer in answers)
    return {MODELLED: True, f"{MODELLED}_us": round(modelled_s * 1e6), "sonic_late_us": round(late_s * 1e6)}


def _number(config: ModelConfig, name: str, default: float) -> Any:
    if isinstance(default, int):
        return int_parameter(config, name, default)
    if name not in config.parameters:
        return default
    text = config.parameters[name].string_value
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"parameter {name} is a number, given {text!r}") from None


def _words(config: ModelConfig, name: str) -> Sequence[str]:
    return config.parameters[name].string_value.split() if name in config.parameters else ()
