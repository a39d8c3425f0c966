"""How firmware is built of a network: what hls4ml is told besides the network and its numbers. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Writer = Literal["Vitis", "Quartus", "Catapult"]
Strategy = Literal["latency", "resource", "da"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)


@dataclass(frozen=True, slots=True)
class Synthesis:
    """How firmware is built of a network.

    Parameters
    ----------
    writer : {"Vitis", "Quartus", "Catapult"}
        For whose compiler.
    reuse : int
        Multiplications that each multiplier does for one row.
    strategy : {"latency", "resource", "da"}
        Of products: multipliers of their own, multipliers in turn, or distributed arithmetic, which da4ml writes into
        the sources.
    stream : bool
        Whether layers hand on numbers one after the other, as large images need, and not all at once.
    clock_ns : float
    part : str
        The FPGA; empty: the writer's usual one.
    """

    writer: Writer = "Vitis"
    reuse: int = 1
    strategy: Strategy = "latency"
    stream: bool = False
    clock_ns: float = 5.0
    part: str = ""
