"""What becomes of a job when a module fails on a chunk."""

from __future__ import annotations

from dataclasses import dataclass

from sonic.errors import ConfigError, shown


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
        retries, first, end = 0, *text.partition(",")[::2]
        if first.startswith("retry:") and first[6:].isdecimal() and len(first) <= 15:
            retries, first = int(first[6:]), end or ("stop" if "," not in text else "")
        elif "," in text:
            first = ""
        if first not in ("stop", "skip"):
            raise ConfigError(f"on error {shown(text)}: expected stop, skip, retry:N or retry:N,skip")
        return cls(retries, first == "skip")
