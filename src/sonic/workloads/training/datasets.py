"""Generated events turned into training samples, block by block, on several processes.

A block's contents depend on the seed, its process and its number alone, so a sample is the same however many
processes made it. Finished blocks are kept as files: an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np

from sonic.errors import ConfigError
from sonic.workloads.features import MAX_JET_ETA, MAX_WIDE_JET_ETA, MET_PT, jet_inputs, met_inputs, wide_jet_inputs
from sonic.workloads.simulation.pileup import NON_DIFFRACTIVE
from sonic.workloads.simulation.processes import PROCESSES
from sonic.workloads.simulation.sample import PILE_UP_MEAN
from sonic.workloads.truth import CLASSES, jet_classes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from sonic.workloads.progress import Progress
    from sonic.workloads.simulation.processes import Process

    Arrays = dict[str, NDArray[Any]]
    Maker = Callable[[ak.Array, np.random.Generator], Arrays]

BLOCK_EVENTS = 400
SEEN = f"seen by a simple detector, with {PILE_UP_MEAN * NON_DIFFRACTIVE:.0f} more collisions a crossing on average"
"""What became of the events, in words."""

# Light jets outnumber the others; a share of them teaches as much.
_KEPT_SHARE = {"g": 0.5, "pu": 0.5}


@dataclass(frozen=True, slots=True)
class Block:
    """One block of events to generate.

    Parameters
    ----------
    process : Process
    number : int
        Within the process.
    events : int
    role : str
        ``train`` or ``test``; a block's events all have the same.
    """

    process: Process
    number: int
    events: int
    role: str

    @property
    def name(self) -> str:
        """What tells it from the others of a seed."""
        return f"{self.process.name}-{self.number}-{self.events}"


def plan(events: int, share: str, block_events: int = BLOCK_EVENTS) -> tuple[Block, ...]:
    """Divide a number of events among the processes and into blocks.

    Parameters
    ----------
    events : int
        For training; a quarter as many, at least a block of each process, are added for the test.
    share : str
        Which of a process's shares counts: ``tagger_share``, ``met_share`` or ``wide_share``.
    block_events : int
        Most events of a block.

    Raises
    ------
    ConfigError
        If there are too few events for each process to have one.
    """
    shares = {process: float(getattr(process, share)) for process in PROCESSES if getattr(process, share)}
    total = sum(shares.values())
    blocks = []
    for process, part in shares.items():
        wanted = {"train": round(events * part / total), "test": max(1, round(events * part / total / 4))}
        if wanted["train"] < 1:
            raise ConfigError(f"{events} events are too few for {len(shares)} processes: give 100 or more")
        number = 0
        for role, left in wanted.items():
            while left > 0:
                blocks.append(Block(process, number, min(left, block_events), role))
                left -= block_events
                number += 1
    return tuple(blocks)


def mixture(share: str) -> dict[str, float]:
    """Say how much of each process a sample has, by name; what :func:`plan` divides events by."""
    return {one.name: float(getattr(one, share)) for one in PROCESSES if getattr(one, share)}


def make_blocks(
    blocks: tuple[Block, ...],
    maker: Maker,
    seed: int,
    folder: Path,
    workers: int,
    progress: Progress,
) -> list[Path]:
    """Generate the blocks that `folder` does not have yet, and return their files in the order of `blocks`.

    Parameters
    ----------
    blocks : tuple of Block
    maker : callable
        Makes a block's arrays of its events; one of :func:`jets_of`, :func:`wide_jets_of` and :func:`met_of`.
    seed : int
    folder : Path
        For the files, ``.npz``.
    workers : int
        Processes to run.
    progress : callable of (stage, done, total)
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Of another seed there may be some from a training that was interrupted: they are others.
    files = [folder / f"{block.name}-seed-{seed}.npz" for block in blocks]
    todo = [(block, file) for block, file in zip(blocks, files, strict=True) if not file.exists()]
    done, total = sum(b.events for b in blocks) - sum(b.events for b, _ in todo), sum(b.events for b in blocks)
    progress("events", done, total)
    if workers <= 1 or len(todo) <= 1:
        for block, file in todo:
            _make(block, maker, seed, file)
            done += block.events
            progress("events", done, total)
        return files
    # A fresh interpreter for each worker: torch and fork do not go together.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        running = {pool.submit(_make, block, maker, seed, file): block for block, file in todo}
        try:
            for future in as_completed(running):
                future.result()
                done += running[future].events
                progress("events", done, total)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return files


def _make(block: Block, maker: Maker, seed: int, file: Path) -> None:
    from sonic.workloads.simulation.sample import simulate

    started = time.perf_counter()
    events = simulate(block.process, block.events, seed, block.number)
    rng = np.random.default_rng([seed, 1, PROCESSES.index(block.process), block.number])
    arrays: Any = maker(events, rng) | {"seconds": np.array([time.perf_counter() - started])}
    partial = file.with_suffix(".part.npz")
    np.savez_compressed(partial, **arrays)
    partial.replace(file)


def jets_of(events: ak.Array, rng: np.random.Generator) -> Arrays:
    """Take the jets within the tracker: the tagger's inputs in half precision, ``label``, ``pt`` and ``eta``."""
    classes = jet_classes(events)
    share = np.array([_KEPT_SHARE.get(name, 1.0) for name in CLASSES])
    central = np.abs(np.asarray(ak.flatten(events.Jet_eta))) < MAX_JET_ETA
    kept = central & (rng.random(len(classes)) < share[classes])
    inputs = jet_inputs(events, ak.unflatten(kept, ak.num(events.Jet_eta)))
    arrays: Arrays = {name: values.astype(np.float16) for name, values in inputs.items()}
    return arrays | {
        "label": classes[kept].astype(np.int8),
        "pt": np.asarray(ak.flatten(events.Jet_pt))[kept],
        "eta": np.asarray(ak.flatten(events.Jet_eta))[kept],
    }


def wide_jets_of(events: ak.Array, rng: np.random.Generator) -> Arrays:  # noqa: ARG001 - as every maker
    """Take the wide jets within the tracker that have a class: as :func:`jets_of`, and their ``mass``."""
    columns = {name: np.asarray(ak.flatten(events[f"FatJet_{name}"])) for name in ("truthClass", "pt", "eta", "mass")}
    kept = (np.abs(columns["eta"]) < MAX_WIDE_JET_ETA) & (columns["truthClass"] >= 0)
    inputs = wide_jet_inputs(events, ak.unflatten(kept, ak.num(events.FatJet_pt)))
    arrays: Arrays = {name: values.astype(np.float16) for name, values in inputs.items()}
    arrays["label"] = columns.pop("truthClass")[kept].astype(np.int8)
    return arrays | {name: values[kept] for name, values in columns.items()}


def met_of(events: ak.Array, rng: np.random.Generator) -> Arrays:  # noqa: ARG001 - as every maker
    """Take the candidates of events, without padding, and their missing momentum.

    ``input`` [n, 8] in half precision, ``categories`` [n, 3], ``counts`` [events]; and components in GeV, ``true``,
    ``plain`` and ``puppi`` [events, 2].
    """
    inputs = met_inputs(events)
    there = inputs["input"][:, :, MET_PT] > 0
    arrays: Arrays = {
        "input": inputs["input"][there].astype(np.float16),
        "categories": np.concatenate([inputs[f"input_cat{i}"][there] for i in range(3)], axis=1).astype(np.int8),
        "counts": there.sum(axis=1).astype(np.int32),
    }
    for name, branch in (("true", "GenMET"), ("plain", "RawMET"), ("puppi", "PuppiMET")):
        pt, phi = (np.asarray(events[f"{branch}_{part}"], np.float64) for part in ("pt", "phi"))
        arrays[name] = np.stack([pt * np.cos(phi), pt * np.sin(phi)], axis=1).astype(np.float32)
    return arrays


def by_role(blocks: Sequence[Block], files: Sequence[Path]) -> tuple[Arrays, Arrays]:
    """Return the arrays for training and those for the test; `files` are those of the blocks."""
    train, test = (
        load([file for file, block in zip(files, blocks, strict=True) if block.role == role])
        for role in ("train", "test")
    )
    return train, test


def load(files: list[Path]) -> Arrays:
    """Join blocks' arrays end to end.

    Raises
    ------
    ConfigError
        If there are no files.
    """
    if not files:
        raise ConfigError("no blocks of generated events to load")
    parts = []
    for file in files:
        with np.load(file) as stored:
            parts.append(dict(stored))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
