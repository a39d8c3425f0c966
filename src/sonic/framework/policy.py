"""What becomes of a job when a module fails on a chunk."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sonic.errors import ConfigError, shown

_FORM = re.compile(r"retry:(?P<retries>[0-9]{1,9})(,(?P<then>stop|skip))?|(?P<alone>stop|skip)")


@dataclass(frozen=True, slots=True)
class OnError:
    """What to do when a module, or its model, fails on a chunk.

    Parameters
    ----------
    retries : int
        How often the module is tried again on the chunk.
    skip : bool
        Whether the chunk is then left out of the output, and the job goes on; otherwise the job stops.
    """

    retries: int = 0
    skip: bool = False

    @classmethod
    def parse(cls, text: str) -> OnError:
        """Read ``stop``, ``skip``, ``retry:N`` (and then stop) or ``retry:N,skip``.

        Raises
        ------
        ConfigError
            If it is none of them.
        """
        match = _FORM.fullmatch(text)
        if match is None:
            raise ConfigError(f"on error {shown(text)}: expected stop, skip, retry:N or retry:N,skip")
        return cls(int(match["retries"] or 0), "skip" in (match["then"], match["alone"]))
