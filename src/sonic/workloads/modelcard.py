"""What there is to know of trained weights, as a page to read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sonic.workloads.networks.catalogue import took

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sonic.workloads.networks.catalogue import Network

FILE = "MODEL_CARD.md"
"""In a model's folder, beside ``metrics.json``; a server reads neither."""

TEXTS = ("figure", "data", "limits")
"""What a training says of itself in words, among its numbers."""


def markdown(network: Network, metrics: Mapping[str, Any]) -> str:
    """Return the card of a trained network.

    Parameters
    ----------
    network : Network
    metrics : mapping
        As ``metrics.json`` has them: recipe, versions, device, parameters, and of :data:`TEXTS` what the training gave.
    """
    recipe = metrics["recipe"]
    size = f"{metrics['parameters']:,} parameters"
    if recipe["width"] != 1:
        size += f", {recipe['width']:g} of the width of the published one with {network.parameters:,}"
    steps = (
        f"{recipe['batch']:,} samples a step, learning rate up to {recipe['learning_rate']:g}, seed {recipe['seed']}"
    )
    lasted = f" It took {took(metrics)}." if took(metrics) else ""
    versions = ", ".join(f"{name} {version}" for name, version in metrics["versions"].items())
    again = f"sonic train {network.name} --events {recipe['events']} --epochs {recipe['epochs']}"
    again += f" --seed {recipe['seed']} --width {recipe['width']:g} --cores {recipe['cores']}"
    lines = [
        f"# {network.name}",
        f"Finds {network.physics}: {size}.",
        "## Trained on",
        f"{_text(metrics, 'data')}{recipe['events']:,} events, {recipe['epochs']} times; {steps}.{lasted}",
        f"With {versions}, on {metrics['device']}. The same versions, device and cores give the same weights:",
        f"    {again}",
        "## How good",
        f"On events that it was not trained on: {_text(metrics, 'figure')}`metrics.json` has the rest.",
        "## Limits",
        f"{_text(metrics, 'limits')}All it has seen is simulated, by Sonic: it is no network of an experiment, and "
        "not to be used on an experiment's data without training it on that experiment's simulation.",
        "## Licence",
        "Apache-2.0, as Sonic.",
    ]
    return "\n\n".join(lines) + "\n"


def write(network: Network, folder: Path) -> None:
    """Write the card of the model in a folder from its ``metrics.json``.

    Raises
    ------
    OSError
        If they cannot be read, or the card cannot be written.
    """
    metrics = json.loads((folder / "metrics.json").read_text())
    (folder / FILE).write_text(markdown(network, metrics))


def _text(metrics: Mapping[str, Any], name: str) -> str:
    text = metrics.get(name, "").rstrip(". ")
    return f"{text[:1].upper()}{text[1:]}. " if text else ""
