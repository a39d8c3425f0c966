"""The fallback that the clients of a process share: started, started again, its models loaded for as long as used."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from threading import Event, Lock
from typing import TYPE_CHECKING

from sonic.client.deadline import Deadlines
from sonic.client.fallback.pulse import Pulse
from sonic.client.fallback.running import as_it_is, launch
from sonic.client.promise import Promise, as_inference_error
from sonic.client.workers import Workers
from sonic.errors import Cancelled, ConfigError, InferenceError, ModelFailed, ModelNotFound, SonicError, Unavailable
from sonic.protocol.modelconfig import parse

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from sonic.client.fallback.description import Fallback
    from sonic.client.fallback.running import Running, Share

log = logging.getLogger("sonic.client")

_WORKERS = 8
_SILENCE_S = 5.0
"""After so long without an answer, one that owes some is asked for a sign of life."""


class SharedFallback:
    """One fallback of this process. Thread-safe.

    Parameters
    ----------
    fallback : Fallback
    share : callable
        See :func:`~sonic.client.fallback.running.launch`.
    """

    def __init__(self, fallback: Fallback, share: Share = as_it_is) -> None:
        self.fallback = fallback
        self._share = share
        self.workers = Workers(_WORKERS, "sonic-fallback")
        self._timer = Deadlines()
        self._stop = Event()
        self._lock = Lock()
        self._users: dict[str, set[Hashable]] = {}
        self._reached: dict[str, Promise[Running]] = {}
        self._running: Running | None = None
        self._suspected: Running | None = None
        self._deaths = 0
        self._last_words: InferenceError | None = None
        # One start, load or unload at a time; what follows is theirs.
        self._work = Lock()
        self._loaded: dict[str, tuple[str, ...]] = {}
        self._needed: dict[str, int] = {}

    @property
    def running(self) -> Running | None:
        """What runs it now; None before its start, and when it has died."""
        with self._lock:
            return self._running

    def reach(self, model: str, user: Hashable) -> Promise[Running]:
        """Have a model ready for a user; the future ends in what runs it.

        Parameters
        ----------
        model : str
        user : hashable
            For whom it stays loaded, until :meth:`release`.
        """
        with self._lock:
            reached = self._reached.get(model)
            if reached is not None:
                self._users[model].add(user)
                return reached
            reached = Promise()
            if self._stop.is_set():
                reached.reject(Cancelled(f"fallback {self.fallback.url} is closed"))
                return reached
            self._reached[model] = reached
            self._users.setdefault(model, set()).add(user)
        if not self.workers.run(lambda: self._bring(model, reached)):
            self._fail(model, reached, self.workers.refusal(f"fallback {self.fallback.url}"))
        return reached

    def release(self, model: str, user: Hashable) -> None:
        """Note that a user needs a model no more. The last one's leave unloads it, in the background."""
        with self._lock:
            users = self._users.get(model, set())
            users.discard(user)
            if users or self._users.pop(model, None) is None:
                return
            self._reached.pop(model, None)
        self.workers.run(lambda: self._unload(model))

    def leave(self, user: Hashable) -> None:
        """Note that a user needs none of the models any more."""
        with self._lock:
            models = [model for model, users in self._users.items() if user in users]
        for model in models:
            self.release(model, user)

    def lost(self, running: Running) -> bool:
        """Whether what did not answer is dead; if so, the next request starts it again. Blocks for seconds at most."""
        with self._lock:
            if self._running is not running:
                return not self._stop.is_set()
        if running.lives():
            return False
        self._bury(running)
        return not self._stop.is_set()

    def close(self) -> None:
        """End it. What waits for it ends in Cancelled."""
        self._stop.set()
        with self._lock:
            waiting, running = list(self._reached.values()), self._running
            self._reached.clear()
            self._running = None
        for reached in waiting:
            reached.reject(Cancelled(f"fallback {self.fallback.url} is closed"))
        if running is not None:
            running.close()
        with self._work:  # a start that is under way sees that it is not wanted, and undoes itself
            self.workers.close()
            self._timer.close()

    def _bring(self, model: str, reached: Promise[Running]) -> None:
        error: InferenceError
        try:
            with self._work:
                with self._lock:
                    wanted = model in self._users
                if not wanted:  # and what would unload it may have had its turn before
                    raise Cancelled(f"fallback {self.fallback.url}: model {model!r} is not needed any more")
                reached.resolve(self._ready(model))
            return
        except InferenceError as failure:
            error = failure
        except SonicError as failure:
            error = Unavailable(f"fallback {self.fallback.url} cannot be started: {failure}")
        except Exception as failure:  # noqa: BLE001 - becomes the future's error
            error = as_inference_error(failure)
        self._fail(model, reached, error)

    def _fail(self, model: str, reached: Promise[Running], error: InferenceError) -> None:
        with self._lock:
            # What is wrong with the model stays wrong for as long as it is used; a start may succeed the next time.
            if error.retryable and self._reached.get(model) is reached:
                del self._reached[model]
        reached.reject(error)

    def _ready(self, model: str) -> Running:
        while True:
            running = self._started()
            try:
                self._load(running, model)
            except InferenceError as error:
                if (error.retryable or isinstance(error, Cancelled)) and self.lost(running):
                    continue
                raise _told(f"fallback {self.fallback.url}: model {model!r} cannot be loaded", error) from error
            return running

    def _started(self) -> Running:
        """Start it, if it does not run. Its lock is held."""
        with self._lock:
            running, deaths, last_words = self._running, self._deaths, self._last_words
        if running is not None:
            return running
        if last_words is not None:
            raise type(last_words)(str(last_words))
        self._loaded.clear()
        self._needed.clear()
        if deaths:
            self._stop.wait(self.fallback.restart_pause_s * 2 ** (deaths - 1))
        if self._stop.is_set():
            raise Cancelled(f"fallback {self.fallback.url} is closed")
        try:
            running = launch(self.fallback, self._stop, self._share)
        except Unavailable as error:
            raise self._mourn(f"could not be started: {error}") from error
        if running.mortal:
            running.pulse = Pulse(self._timer, _SILENCE_S, partial(self._suspect, running))
        with self._lock:
            closed = self._stop.is_set()
            if not closed:
                self._running = running
        if closed:
            running.close()
            raise Cancelled(f"fallback {self.fallback.url} is closed")
        return running

    def _suspect(self, running: Running) -> None:
        """Find out whether it lives, unless that is under way."""
        with self._lock:
            if self._suspected is running:
                return
            self._suspected = running

        def ask() -> None:
            self.lost(running)
            with self._lock:
                self._suspected = None

        if not self.workers.run(ask):
            with self._lock:
                self._suspected = None

    def _bury(self, running: Running) -> None:
        with self._lock:
            if self._running is not running:
                return
            self._running = None
            self._reached.clear()
        error = self._mourn(f"died: {running.obituary()}")
        log.warning("%s", error)
        running.close()

    def _mourn(self, what: str) -> Unavailable:
        """Count a death, or a start that failed; after the last one it stays dead."""
        url = self.fallback.url
        with self._lock:
            self._deaths += 1
            error = Unavailable(f"fallback {url} {what}")
            if self._deaths > self.fallback.restarts:
                if self._deaths > 1:
                    error = Unavailable(
                        f"fallback {url} failed {self._deaths} times and is not started again: it {what}"
                    )
                self._last_words = error
        return error

    def _load(self, running: Running, model: str) -> None:
        if model in self._loaded:
            return
        names = (*parts(self.fallback.folder, model), model)
        taken: list[str] = []
        try:
            for name in names:
                if not self._needed.get(name):
                    running.control.load(name)
                taken.append(name)
                self._needed[name] = self._needed.get(name, 0) + 1
        except BaseException:
            self._drop(running, taken)
            raise
        self._loaded[model] = names

    def _unload(self, model: str) -> None:
        with self._work:
            with self._lock:
                running = self._running
                if model in self._users or running is None:
                    return
            self._drop(running, self._loaded.pop(model, ()))

    def _drop(self, running: Running, names: Sequence[str]) -> None:
        """Count models as needed once less; who is not needed any more is unloaded."""
        for name in reversed(names):
            self._needed[name] -= 1
            if self._needed[name]:
                continue
            try:
                running.control.unload(name)
            except SonicError as error:
                log.warning("fallback %s: model %r cannot be unloaded: %s", self.fallback.url, name, error)


def parts(folder: str, model: str) -> tuple[str, ...]:
    """Return the models that an ensemble is made of, those that others are made of first.

    Loaded and unloaded one by one, they are counted like models that are called themselves.
    """
    found: dict[str, None] = {}

    def visit(name: str, above: tuple[str, ...]) -> None:
        try:
            config = parse((Path(folder) / name / "config.pbtxt").read_text())
        except (OSError, UnicodeDecodeError, ConfigError):
            return  # the server says better what is wrong with it
        for step in config.ensemble_scheduling.step:
            if step.model_name not in (*above, name):
                visit(step.model_name, (*above, name))
                found[step.model_name] = None

    visit(model, ())
    return tuple(found)


def _told(what: str, error: InferenceError) -> InferenceError:
    kind = type(error) if error.retryable or isinstance(error, ModelNotFound | Cancelled) else ModelFailed
    return kind(f"{what}: {error}")
