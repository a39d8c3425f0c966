"""The zoo as a table for a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sonic.workloads.networks.catalogue import NETWORKS, blueprint

if TYPE_CHECKING:
    from sonic.workloads.networks.blueprint import Input, Output

_HEAD = ("network", "what it finds", "parameters", "inputs", "outputs", "batch")
_TIMES = "\N{MULTIPLICATION SIGN}"


def markdown() -> str:
    """Return a table in Markdown with a line for each network.

    Its columns are the name, what it finds, weights and those of normalisations, inputs and outputs with the
    shape of a row, and the largest batch, with those that the server aims at.
    """
    rows = [_HEAD, tuple("---:" if name == "parameters" else "---" for name in _HEAD)]
    for network in NETWORKS:
        plan = blueprint(network.name)
        batch = f"{plan.max_batch_size:,}" if plan.max_batch_size else "one event"
        if plan.preferred:
            batch += f"; {', '.join(f'{size:,}' for size in plan.preferred)}"
        parameters = f"{network.weights:,}" + (f" + {network.normalisation:,}" if network.normalisation else "")
        tensors = ("<br>".join(_tensor(tensor) for tensor in side) for side in (plan.inputs, plan.outputs))
        rows.append((f"`{network.name}`", network.physics, parameters, *tensors, batch))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def _tensor(tensor: Input | Output) -> str:
    kind = "" if tensor.dtype == "float32" else f" {tensor.dtype}"
    return f"`{tensor.name}` {_TIMES.join(map(str, tensor.dims))}{kind}"
