"""The zoo as tables for a page: what there is, and what is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sonic.workloads.networks.catalogue import NETWORKS, blueprint, took

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


def trained() -> str:
    """Return a table in Markdown with a line for each network that ships trained or can be trained.

    Its columns are the name, whether trained weights ship, of what width, what they reached on events of their own, and
    how long training took.
    """
    rows = [("network", "ships", "width", "reached", "took"), ("---",) * 5]
    for network in NETWORKS:
        known = network.metrics()
        if network.shipped:
            width = f"{known.get('width', 1):g}"
            rows.append((f"`{network.name}`", "yes", width, known.get("figure", ""), took(known)))
        elif network.training:
            rows.append((f"`{network.name}`", "no", "", "", ""))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def _tensor(tensor: Input | Output) -> str:
    kind = "" if tensor.dtype == "float32" else f" {tensor.dtype}"
    return f"`{tensor.name}` {_TIMES.join(map(str, tensor.dims))}{kind}"
