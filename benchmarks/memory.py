"""Peak memory of a `miniaod` job: flat in the length of its input, growing with streams x chunk size.

The sample is run through once and a hundred times; then the same number of events with more in flight.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from common import Figure, run_job

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

LENGTHS = (4, 400)
IN_FLIGHT = ((2, 5), (4, 10), (8, 20))


def measure(repeats: int, console: Console) -> Iterator[Figure]:
    """Yield the growth with the input's length, and with what is in flight."""
    growth = []
    for _ in range(repeats):
        short, long = (
            run_job(
                "--mode", "service", "--threads", 2, "--streams", 4, "--chunk-size", 10, "--repeat", length
            ).peak_mib
            for length in LENGTHS
        )
        console.print(f"{LENGTHS[0]} times the sample {short:.0f} MiB, {LENGTHS[1]} times {long:.0f} MiB")
        growth.append(long / short)
    yield Figure.of("peak memory, 100x the input / 1x", growth, goal=1.10, at_most=True)

    peaks: dict[tuple[int, int], list[float]] = {case: [] for case in IN_FLIGHT}
    for _ in range(repeats):
        for streams, chunk_size in IN_FLIGHT:
            job = (
                "--mode",
                "service",
                "--threads",
                2,
                "--streams",
                streams,
                "--chunk-size",
                chunk_size,
                "--repeat",
                40,
            )
            peaks[streams, chunk_size].append(run_job(*job).peak_mib)
    for (streams, chunk_size), values in peaks.items():
        console.print(f"{streams} streams x {chunk_size} events: {min(values):.0f} to {max(values):.0f} MiB")
        ratios = [value / first for value, first in zip(values, peaks[IN_FLIGHT[0]], strict=True)]
        yield Figure.of(f"peak memory, {streams} x {chunk_size} / {IN_FLIGHT[0][0]} x {IN_FLIGHT[0][1]}", ratios)
