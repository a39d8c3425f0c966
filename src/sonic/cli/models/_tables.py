"""Models as a terminal shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from sonic.protocol.checksums import read_checksums
from sonic.protocol.proto.model_config_pb2 import ModelInstanceGroup

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console

    from sonic.protocol.facts import ModelFacts
    from sonic.protocol.proto.model_config_pb2 import ModelConfig

_STYLE = {"ok": "green", "missing": "dim", "differs": "red", "gone": "red"}


def show_list(rows: Sequence[ModelFacts], console: Console) -> None:
    """Print a line a model."""
    states, sizes = any(row.state for row in rows), any(row.size_bytes for row in rows)
    table = _table("model", *(["state"] if states else []), "versions", "backend")
    for name in ("batch", *(["size"] if sizes else [])):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("checksums", no_wrap=True)
    for row in rows:
        known = not row.state or row.state == "READY"
        table.add_row(
            escape(row.name),
            *([f"[{'green' if known else 'red'}]{row.state.lower()}[/]"] if states else []),
            " ".join(row.versions),
            escape(row.kind),
            str(row.config.max_batch_size or "") if known else "",
            *([decimal(row.size_bytes)] if sizes else []),
            _algorithms(row.config) if known else "",
        )
    console.print(table)


def show_model(facts: ModelFacts, console: Console) -> None:
    """Print what is known of one model."""
    console.print(f"[bold]{escape(facts.name)}[/bold]", highlight=False)
    for label, value in _summary(facts):
        console.print(f"{label:<11}{escape(value)}", highlight=False, soft_wrap=True)
    if facts.spec is not None:
        table = _table("", "name", "datatype", "shape", "")
        labels = {output.name: output.label_filename for output in facts.config.output}
        for what, tensors in (("input", facts.spec.inputs), ("output", facts.spec.outputs)):
            for position, tensor in enumerate(tensors):
                remark = "optional" if tensor.optional else labels.get(tensor.name, "") if what == "output" else ""
                shape = escape(str(list(tensor.shape)))
                table.add_row(
                    what if not position else "", escape(tensor.name), tensor.dtype.name, shape, escape(remark)
                )
        console.print()
        console.print(table)
    if facts.files:
        table = _table("file", overflow="fold")
        table.add_column("size", justify="right", no_wrap=True)
        table.add_column("checksum", overflow="fold")
        table.add_column("", no_wrap=True)
        for row in facts.files:
            digest = f"{row.algorithm} {row.found or row.stored}"
            state = f"[{_STYLE[row.state]}]{'not stored' if row.state == 'missing' else row.state}[/]"
            table.add_row(escape(row.path), decimal(row.size_bytes), digest, state)
        console.print()
        console.print(table)
    else:
        for each in read_checksums(facts.config, strict=False):
            line = f"{'checksum':<11}{each.path} {each.algorithm} {each.digest}"
            console.print(line, markup=False, highlight=False, soft_wrap=True)


def _summary(facts: ModelFacts) -> Iterable[tuple[str, str]]:
    config = facts.config
    platform = (
        f" ({config.platform})" if config.platform and config.backend and config.platform != config.backend else ""
    )
    yield "where", facts.where
    if facts.state:
        yield "state", facts.state.lower()
    yield "versions", " ".join(facts.versions) or "none"
    yield "backend", f"{facts.kind or 'unknown'}{platform}"
    if facts.size_bytes:
        yield "size", decimal(facts.size_bytes)
    yield "batch", _batch(config)
    if config.instance_group:
        yield "instances", ", ".join(_instances(group) for group in config.instance_group)
    for name in sorted(config.parameters):
        yield "parameter", f"{name} = {config.parameters[name].string_value}"
    for number, step in enumerate(config.ensemble_scheduling.step, 1):
        version = f" version {step.model_version}" if step.model_version > 0 else ""
        made = f"{', '.join(step.input_map.values())} -> {', '.join(step.output_map.values())}"
        yield f"step {number}", f"{step.model_name}{version}: {made}"


def _batch(config: ModelConfig) -> str:
    if not config.max_batch_size:
        return "no batch dimension of its own"
    text = f"up to {config.max_batch_size} rows"
    if config.HasField("dynamic_batching"):
        sizes = ", ".join(str(size) for size in config.dynamic_batching.preferred_batch_size)
        delay_us = config.dynamic_batching.max_queue_delay_microseconds
        text += f", merged{f', preferably {sizes}' if sizes else ''}{f', within {delay_us} us' if delay_us else ''}"
    return text


def _instances(group: ModelInstanceGroup) -> str:
    kind = ModelInstanceGroup.Kind.Name(group.kind).removeprefix("KIND_")
    gpus = f" {' '.join(str(gpu) for gpu in group.gpus)}" if group.gpus else ""
    return f"{max(1, group.count)} on {kind}{gpus}"


def _algorithms(config: ModelConfig) -> str:
    return " ".join(sorted({each.algorithm for each in read_checksums(config, strict=False)})) or "[dim]none[/]"


def _table(*columns: str, overflow: str = "ellipsis") -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 2, 0, 0), show_edge=False, pad_edge=False)
    for position, name in enumerate(columns):
        table.add_column(name, overflow="fold" if overflow == "fold" or not position else "ellipsis")
    return table
