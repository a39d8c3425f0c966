"""Follow the folders of a repository: load what is new or changed, unload what is gone."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from sonic.errors import ConfigError, ModelNotFound, Unavailable
from sonic.server.commands import Commands
from sonic.server.models.fingerprint import fingerprint
from sonic.server.scheduling.job import NEVER_S

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from sonic.server.models.repository import Repository

log = logging.getLogger("sonic.server")


class Poller:
    """Compares the folders with what they were, now and then.

    A change made while a model is being loaded is seen the next time, since the folders are looked at first; so a model
    that is still being copied fails, and is loaded when it is whole.

    Parameters
    ----------
    repository : Repository
        What its folders hold now counts as known.
    interval_s : float
        Time between two looks.

    Raises
    ------
    ConfigError
        If the interval is not above zero, or so long that no thread can wait for it.
    """

    def __init__(self, repository: Repository, interval_s: float) -> None:
        if not 0 < interval_s < NEVER_S:
            what = "the interval between two looks at a repository"
            raise ConfigError(f"{what} must be above 0 s and below {NEVER_S:.0e} s, given {interval_s:g}")
        self._repository = repository
        self._interval_s = interval_s
        self._seen = {name: fingerprint(folders) for name, folders in repository.look().items()}
        self._trouble = ""
        self._changes = Commands("sonic-poll-changes")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sonic-poll", daemon=True)

    def start(self) -> None:
        """Look every so often, from a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more; does not wait for a model that is just being loaded."""
        self._stop.set()

    def poll(self) -> None:
        """Look once, and wait until what has changed is loaded or unloaded."""
        for change in self._look():
            change.result()

    def _look(self) -> Sequence[Future[None]]:
        try:
            found = self._repository.look()
        except ConfigError as error:
            if str(error) != self._trouble:  # said once
                log.error("%s", error)
            self._trouble = str(error)
            return ()
        self._trouble = ""
        now = {name: fingerprint(folders) for name, folders in found.items()}
        before, self._seen = self._seen, now
        changed = [name for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name)]
        return [self._changes.submit(self._follow, name) for name in changed]

    def _follow(self, name: str) -> None:
        """Load a model as its folder is by now, or unload it. What cannot be loaded is logged; what was there stays."""
        if self._stop.is_set():
            return
        try:
            self._repository.load(name)
        except ModelNotFound:
            self._repository.unload(name)
            log.info("model %r is gone", name)
        except (ConfigError, Unavailable) as error:
            log.error("%s", error)
        except Exception:
            log.exception("model %r", name)

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s):
            self._look()  # and wait for nothing, or one that hangs would hold up all that come later
