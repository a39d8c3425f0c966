"""A modelled FPGA card: where its blocks are."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from sonic.firmware.device.timing import CardModel, Timeline
from sonic.workloads.plots import COLOURS, panels

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

_BLOCKS = 34
_UNTIL_MS = 3.2


def timeline() -> Figure:
    """Draw which block each resource works on, of a card that is given another for each that it gives back."""
    card = CardModel()
    line, due_s = Timeline(card), [0.0] * card.slots
    figure = panels(1, 1)
    figure.set_size_inches(9.5, 3.4)
    (axes,) = figure.axes
    names = ["to the card", *(f"unit {number}" for number in range(1, card.units + 1)), "back"]
    to_card, compute, from_card = card.stages
    for number in range(_BLOCKS):
        block = line.enqueue(heapq.heappop(due_s))
        heapq.heappush(due_s, block.done_s)
        colour = COLOURS[block.unit]
        for lane, begun_s, busy_s in (
            (0, block.sent_s, to_card.busy_s),
            (1 + block.unit, block.begun_s, compute.busy_s),
            (len(names) - 1, block.returned_s, max(from_card.busy_s, 1e-5)),
        ):
            axes.barh(lane, 1e3 * busy_s, 0.72, 1e3 * begun_s, color=colour, edgecolor="white", linewidth=0.6)
        where = 1e3 * (block.begun_s + compute.busy_s / 2)
        if where < _UNTIL_MS:
            axes.text(where, 1 + block.unit, str(number + 1), color="white", ha="center", va="center", fontsize=9)
    axes.set(xlim=(0, _UNTIL_MS), yticks=range(len(names)), yticklabels=names, xlabel="time (ms)")
    axes.set_title(
        f"modelled: blocks of {card.block:,} rows, {card.units} units with {card.buffers} buffers each", size=11
    )
    axes.invert_yaxis()
    return figure


PICTURES: dict[str, Callable[[], Figure]] = {"card-timeline": timeline}
