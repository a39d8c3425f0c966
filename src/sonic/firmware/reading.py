"""What holds whatever a network is read from: names, ends, and how convolutions go. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sonic.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_WORDS = """
alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t char32_t class compl const
const_cast constexpr continue decltype default delete do double dynamic_cast else enum explicit export extern false
float for friend goto if inline int long mutable namespace new noexcept not not_eq nullptr operator or or_eq private
protected public register reinterpret_cast return short signed sizeof static static_assert static_cast struct switch
template this thread_local throw true try typedef typeid typename union unsigned using virtual void volatile wchar_t
while xor xor_eq
"""
_RESERVED = frozenset([*_WORDS.split(), "main", "input"])
"""What is no name of ours: C++'s words, its first function, and what hls4ml keeps for itself."""


def identifier(name: str, *taken: str) -> str:
    """Return a name that C++ takes for a variable or a function, other than those that are taken."""
    made = re.sub(r"\W", "_", name, flags=re.ASCII).strip("_") or "node"
    return f"n_{made}" if made[0].isdigit() or made in _RESERVED or made in taken else made


def check_ends(name: str, inputs: int, outputs: int) -> None:
    """Check that a network has one input and one output.

    Raises
    ------
    ConfigError
        If it has not.
    """
    if (inputs, outputs) != (1, 1):
        raise ConfigError(f"firmware has one input and one output, {name!r} has {inputs} and {outputs}")


def row_shape(name: str, sizes: Sequence[int | None]) -> tuple[int, ...]:
    """Return the shape of a row of an input, of its sizes without the batch's; None or 0 is one that is not known.

    Raises
    ------
    ConfigError
        If one is not known, or there are none.
    """
    known = tuple(size for size in sizes if size)
    if not known or len(known) != len(sizes):
        raise ConfigError(f"input {name!r}: firmware needs every size but the batch's, given {list(sizes)}")
    return known


def check_convolution(groups: int, dilations: Iterable[int]) -> None:
    """Check that a convolution is of all channels, and of numbers that lie side by side.

    Raises
    ------
    ConfigError
        If it is not.
    """
    if groups != 1 or any(step != 1 for step in dilations):
        raise ConfigError("firmware has no groups and no dilations")


def same_pads(size: int, window: int, stride: int) -> tuple[int, int]:
    """Return zeros before and after one dimension, the odd one after, so that there is a window for each stride."""
    whole = max((-(-size // stride) - 1) * stride + window - size, 0)
    return whole // 2, whole - whole // 2
