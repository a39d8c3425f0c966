"""Fuzz one reader with atheris, which follows what of it each input executes. A process of its own: see `__main__`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import atheris
from hypothesis import given, settings

with atheris.instrument_imports(include=["sonic.protocol", "sonic.server", "google.protobuf", "jwt", "hpack"]):
    from fuzz.drawn import DRAWN
    from fuzz.seeds import seeds, words
    from fuzz.targets import TARGETS

if TYPE_CHECKING:
    from collections.abc import Callable

DRAWN_FROM = "-drawn"
"""Behind a reader's name: its inputs are drawn by a strategy, and what is fuzzed are the choices that it makes."""


def names() -> list[str]:
    """Return what there is to fuzz."""
    return [*TARGETS, *(f"{name}{DRAWN_FROM}" for name in DRAWN)]


def fuzz(name: str, folder: Path, options: list[str]) -> None:
    """Read until libFuzzer, whose options these are, has had enough; it ends the process."""
    reader = name.removesuffix(DRAWN_FROM)
    corpus, dictionary = folder / "corpus", folder / "words"
    corpus.mkdir(parents=True, exist_ok=True)
    read: Callable[[bytes], object] = TARGETS[reader]
    if reader == name:
        for number, seed in enumerate(seeds(reader)):
            (corpus / f"seed-{number}").write_bytes(seed)
        if known := words(reader):
            dictionary.write_text("".join(f'"{word.decode()}"\n' for word in known))
            options = [*options, f"-dict={dictionary}"]
    else:
        drawn = settings(database=None, deadline=None)(given(DRAWN[reader])(TARGETS[reader]))
        read = drawn.hypothesis.fuzz_one_input
    atheris.Setup([sys.argv[0], *options, str(corpus)], read)
    atheris.Fuzz()


if __name__ == "__main__":
    fuzz(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
