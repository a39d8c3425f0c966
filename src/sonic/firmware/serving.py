"""Firmware in a repository of models that lasts as long as it is served."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sonic.errors import ConfigError
from sonic.firmware import bundle
from sonic.firmware.build import load
from sonic.protocol.modelconfig import write
from sonic.protocol.proto.model_config_pb2 import ModelConfig

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


@contextlib.contextmanager
def repository(places: Sequence[Path], parameters: Mapping[str, str] | None = None) -> Iterator[Path]:
    """Give a folder of models, each named as the one that its network was made of, which is removed in the end.

    Parameters
    ----------
    places : sequence of Path
        Folders that ``build`` has made, and bundles that ``pack`` has written.
    parameters : mapping of str to str, optional
        Of config.pbtxt, as the backend ``fpga`` knows them.

    Raises
    ------
    DataError
        If one holds no firmware, not all of it, or that of another type of machine.
    ConfigError
        If two have the same name, or one has none that a folder can have.
    """
    config = ModelConfig(backend="fpga")
    for key, value in (parameters or {}).items():
        config.parameters[key].string_value = value
    with tempfile.TemporaryDirectory(prefix="sonic-firmware-") as folder:
        for number, place in enumerate(places):
            source = place.resolve() if place.is_dir() else bundle.unpack(place, Path(folder) / f".{number}")
            network = load(source).network
            name = network.model or network.name
            if Path(name).name != name or name.startswith("."):
                raise ConfigError(f"{place}: its model is called {name!r}, and no folder can be")
            model = Path(folder) / name
            if model.exists():
                raise ConfigError(f"{place}: there is another model called {name!r}")
            model.mkdir()
            (model / "1").symlink_to(source, target_is_directory=True)
            if parameters:
                (model / "config.pbtxt").write_text(write(config))
        yield Path(folder)
