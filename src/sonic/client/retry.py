"""What to do with a request that failed: the chain of actions, one after another. Pure: chance is an argument."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from sonic.errors import ModelNotFound, RateLimited, Unavailable

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from random import Random

    from sonic.client.settings import Action, ClientSettings
    from sonic.errors import InferenceError


@dataclass(frozen=True, slots=True)
class Step:
    """What to do next, and after which pause."""

    action: Action
    delay_s: float = 0.0


class Chain:
    """One request's way along the actions of its settings. Not thread-safe.

    Parameters
    ----------
    settings : ClientSettings
    random : random.Random
        Draws the jitter.
    """

    def __init__(self, settings: ClientSettings, random: Random) -> None:
        self._settings = settings
        self._random = random
        self._position = 0
        self._pauses = 0
        self._tries = 1

    def next(self, error: InferenceError, possible: Collection[Action], left_s: float | None) -> Step | None:
        """Decide after a failure.

        Parameters
        ----------
        error : InferenceError
            What the last attempt ended in.
        possible : collection of str
            Actions that there is a server for.
        left_s : float or None
            Time until the request's deadline; a pause that would not end before it is not made.

        Returns
        -------
        Step or None
            None: give the request up.
        """
        lacks_model = isinstance(error, ModelNotFound)
        most = self._settings.tries
        if not (error.retryable or lacks_model) or (most is not None and self._tries >= most):
            return None
        while self._position < len(self._settings.chain):
            action = self._settings.chain[self._position]
            if action == "different" and action in possible:
                return self._take(action, 0.0)  # and again, until there is no other server
            self._position += 1
            if action not in possible:
                continue
            if action == "fallback":
                return self._take(action, 0.0)
            delay_s = self._pause(error)
            if not lacks_model and delay_s < (inf if left_s is None else left_s):
                return self._take(action, delay_s)
        return None

    def _take(self, action: Action, delay_s: float) -> Step:
        self._tries += 1
        return Step(action, delay_s)

    def _pause(self, error: InferenceError) -> float:
        s = self._settings
        whole_s = min(s.backoff_s * s.backoff_factor**self._pauses, s.max_backoff_s)
        self._pauses += 1
        drawn_s = whole_s * (1 - s.jitter * self._random.random())
        asked_s = error.wait_s if isinstance(error, RateLimited) else 0.0
        return max(drawn_s, asked_s) if asked_s <= s.max_backoff_s else inf


def summary(model: str, tried: Sequence[str], errors: Sequence[InferenceError]) -> InferenceError:
    """One error for all that were met on the way."""
    if not errors:
        return Unavailable(f"model {model!r}: there is no server")
    if len(errors) == 1:
        return errors[0]
    main = next((error for error in reversed(errors) if error.retryable), errors[-1])
    if not errors[-1].retryable and not isinstance(errors[-1], ModelNotFound):
        main = errors[-1]
    told = Counter(
        f"{error}" if url in str(error) else f"{url}: {error}" for url, error in zip(tried, errors, strict=True)
    )
    where = f"on {len(tried)} servers" if len(set(tried)) == len(tried) else f"in {len(tried)} attempts"
    what = "; ".join(text if count == 1 else f"{text} ({count} times)" for text, count in told.items())
    return type(main)(f"model {model!r} failed {where}: {what}")
